// The audit: one JSON line for each privileged verb, with byte ranges and never contents, secrets or client text in the
// place of a name. Each line holds the digest of the one before it, so that a line taken out or changed shows.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import type { VerbEvent } from '../../bridge/session.ts';

/** What a line tells: a verb as its session saw it, and who it came from. */
export interface AuditEntry extends VerbEvent {
  /** The connection's identity: `token:NAME` or `session:NUMBER`. */
  readonly visitor: string;
  readonly remote: string;
}

export interface Audit {
  /** Writes a line before it returns. Throws `store-io` when it cannot, and then nothing privileged should go on. */
  write(entry: AuditEntry): void;
  close(): void;
}

/** What the first line of a file follows. */
const START = '0'.repeat(64);

/**
 * The audit in a file that only its owner reads; it goes on where the file ends. Throws `store-io`.
 *
 * `wallMs` is the time of a line, milliseconds since 1970.
 */
export function openAuditFile(path: string, wallMs: () => number): Audit {
  let file: number;
  let previous: string;
  try {
    file = openSync(path, 'a+', 0o600);
    previous = lastDigest(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new VitrineError('store-io', { file: 'audit' }, { cause });
  }
  return {
    write(entry) {
      const line = `${JSON.stringify({ time: new Date(wallMs()).toISOString(), ...entry, previous })}\n`;
      try {
        writeSync(file, line);
      } catch (cause) {
        throw new VitrineError('store-io', { file: 'audit' }, { cause });
      }
      previous = digestOfLine(line);
    },
    close: () => closeSync(file),
  };
}

/** The first line, from 1, that does not follow the one before it; undefined when all do. */
export function brokenAuditLine(text: string): number | undefined {
  let previous = START;
  const lines = linesOf(text);
  for (const [index, line] of lines.entries()) {
    if (previousOf(line) !== previous) return index + 1;
    previous = digestOfLine(line);
  }
  return undefined;
}

function lastDigest(text: string): string {
  const line = linesOf(text).at(-1);
  return line === undefined ? START : digestOfLine(line);
}

function linesOf(text: string): string[] {
  return text.split(/(?<=\n)/).filter((line) => line !== '');
}

function previousOf(line: string): unknown {
  try {
    return (JSON.parse(line) as { previous?: unknown }).previous;
  } catch {
    return undefined;
  }
}

function digestOfLine(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}
