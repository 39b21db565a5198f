// What goes through a bell's port: lines of text, so that a shell can ring.
//
//   guest   save [LABEL] [#TAG]     checkpoint [#TAG]     reset [#TAG]
//   host    saved ID                the snapshot is durable, and the machine goes on
//           saved                   a checkpoint is set
//           restored ID             this is the saved instant once more: ID is the snapshot that the machine was brought to
//           restored                this is the instant of the checkpoint
//           refused WHY             nothing came of it
//           nobody                  nobody serves this bell
//
// A tag is said again at the end of the answer, for programs that have to tell theirs from that of one before them. Lines come
// from the guest, and a guest is a stranger: what is no such line is no request.

import { VitrineError } from '../../base/error.ts';
import { labelFits } from '../../engine/save.ts';
import type { DeviceRecord } from '../../guest/guest.ts';

/** A line of a guest, without its end: words, a label of ours, a tag. */
export const MAX_BELL_LINE_BYTES = 512;

/** What a guest can ask for. */
export const BELL_WORDS = ['save', 'checkpoint', 'reset'] as const;
export type BellWord = (typeof BELL_WORDS)[number];

/** A ring, as its line says it. */
export interface BellRing {
  readonly word: BellWord;
  /** Of `save`; empty where it has none. */
  readonly label: string;
  /** With its `#`; empty where there is none. */
  readonly tag: string;
}

const LINE = /^(save|checkpoint|reset)(?: +([^#\s\p{Cc}][^\p{Cc}]*?))?(?: +(#[\w.-]{1,32}))?$/u;
const TAG = /^(?:#[\w.-]{1,32})?$/;

/** Reads a line; undefined for what is none. */
export function readRing(line: string): BellRing | undefined {
  const [, word, label = '', tag = ''] = LINE.exec(line.trim()) ?? [];
  if (word === undefined || !labelFits(label)) return undefined;
  if (word !== 'save' && label !== '') return undefined;
  // Safe: the pattern has these words alone.
  return { word: word as BellWord, label, tag };
}

/** The tag of a line that may be no ring: it is refused under its tag as well. Empty where there is none. */
export function tagOf(line: string): string {
  return /(?:^|\s)(#[\w.-]{1,32})\s*$/.exec(line)?.[1] ?? '';
}

/** A line for the guest, with its end. */
export function answerLine(words: readonly string[]): string {
  return `${words.filter((word) => word !== '').join(' ')}\n`;
}

const RECORD_NAME = 'bell';
const RECORD_VERSION = 1;

export function isBellRecord({ name }: DeviceRecord): boolean {
  return name === RECORD_NAME;
}

/** Whoever waits for an answer at an instant, as a device record: JSON, `{"waits": "#1"}` or `{"waits": null}`. */
export function encodeBellRecord(waits: string | null): DeviceRecord {
  const bytes = new TextEncoder().encode(JSON.stringify({ waits }));
  return { name: RECORD_NAME, version: RECORD_VERSION, bytes };
}

/** Of an instant at which nobody is known to wait. */
export const NOBODY_WAITS = encodeBellRecord(null);

/** The tag of whoever waits, null where nobody does. Throws `guest-state-invalid` for what `encodeBellRecord` does not write. */
export function decodeBellRecord({ name, version, bytes }: DeviceRecord): string | null {
  const refuse = (field: string): never => {
    throw new VitrineError('guest-state-invalid', { record: name, field });
  };
  if (version !== RECORD_VERSION) refuse('version');
  let told: { readonly waits?: unknown } | null = null;
  try {
    told = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    refuse('JSON');
  }
  const waits = told?.waits;
  if (waits === null || (typeof waits === 'string' && TAG.test(waits))) return waits;
  return refuse('waits');
}
