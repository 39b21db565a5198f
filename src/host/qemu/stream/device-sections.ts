// Device sections told apart. Their bodies have no length: one ends where its footer stands and something that can follow a
// section comes after it. The lengths that the description tells are tried first; where a footer does not stand there, or
// the rest then makes no sense, the footers that follow are tried, up to the one with which all bytes are accounted for.

import type { OwnedBytes } from '../../../base/bytes.ts';
import { VitrineError } from '../../../base/error.ts';
import { printable } from './byte-queue.ts';
import type { DeviceSection } from './stream.ts';
import { sectionKey } from './vmdesc.ts';
import { COMMANDS, PASSIVE_COMMANDS, RAM_SECTION, SECTION, STREAM_LIMITS } from './wire.ts';

const FOOTER_BYTES = 5;
/** Bytes looked through, by bytes present: one pass finds all ends, and where one does not fit others are tried. */
const MAX_PASSES = 8;
/** For the usual state of about 100 KiB, so that one that is cut is known as such: a pass a section. */
const SPARE_BYTES = 16 * 1024 * 1024;
/** What a place that might be a footer costs, in bytes looked through. */
const CANDIDATE_COST = 16;

/** A section whose end is being looked for. */
interface Opening {
  readonly id: number;
  readonly name: string;
  readonly instanceId: number;
  readonly versionId: number;
  readonly bodyAt: number;
  /** Where the body ends as was chosen last. */
  bodyEnd: number;
  /** Where footers are looked for next. */
  scanAt: number;
  toldAt: number;
  isToldTried: boolean;
}

/**
 * The sections that fill `bytes`.
 *
 * Throws `format-range` where they do not, `format-limit` for too many or for bytes that could be read in too many ways,
 * `stream-feature` for sections that are not a device's.
 */
export function splitSections(
  bytes: OwnedBytes,
  options: { readonly early: boolean; readonly told: ReadonlyMap<string, number> },
): DeviceSection[] {
  const openings = new Splitter(bytes, options.told).split();
  const seen = new Set<string>();
  return openings.map(({ name, instanceId, versionId, bodyAt, bodyEnd }) => {
    const key = sectionKey(name, instanceId);
    if (seen.has(key)) refuse('format-range', { field: 'section that comes twice', name, instanceId });
    seen.add(key);
    return { name, instanceId, versionId, body: bytes.slice(bodyAt, bodyEnd), early: options.early };
  });
}

/** Looks for ends of sections that account for all bytes, and stops when that takes too long. */
class Splitter {
  readonly #bytes: OwnedBytes;
  readonly #view: DataView;
  readonly #told: ReadonlyMap<string, number>;
  readonly #stack: Opening[] = [];
  #budget: number;

  constructor(bytes: OwnedBytes, told: ReadonlyMap<string, number>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#told = told;
    this.#budget = MAX_PASSES * bytes.length + SPARE_BYTES;
  }

  split(): readonly Opening[] {
    const end = this.#bytes.length;
    let lastName = 'none';
    let at = this.#passCommands(0);
    while (at !== end) {
      const opening = this.#openingAt(at);
      if (opening !== undefined) {
        if (this.#stack.length === STREAM_LIMITS.maxSections) refuse('format-limit', { field: 'sections' });
        if (opening.name === RAM_SECTION.name) refuse('stream-feature', { feature: 'RAM among the devices' });
        this.#stack.push(opening);
        lastName = opening.name;
      }
      // A section none of whose ends fits is not one: the one before it has to end elsewhere.
      while (this.#stack.length > 0 && !this.#moveEnd(this.#stack.at(-1)!)) this.#stack.pop();
      const last = this.#stack.at(-1);
      if (last === undefined) return refuse('format-range', { field: 'device sections', lastName });
      at = this.#passCommands(last.bodyEnd + FOOTER_BYTES);
    }
    return this.#stack;
  }

  /** The header at `at`, undefined where there is none that makes sense. */
  #openingAt(at: number): Opening | undefined {
    const end = this.#bytes.length;
    const view = this.#view;
    if (at + 6 > end || view.getUint8(at) !== SECTION.full) return undefined;
    const nameLength = view.getUint8(at + 5);
    const bodyAt = at + 6 + nameLength + 8;
    if (nameLength === 0 || bodyAt + FOOTER_BYTES > end) return undefined;
    const name = printable(this.#bytes.subarray(at + 6, at + 6 + nameLength));
    if (name === undefined) return undefined;
    const instanceId = view.getUint32(bodyAt - 8);
    const toldBytes = this.#told.get(sectionKey(name, instanceId));
    const toldAt = toldBytes === undefined ? -1 : bodyAt + toldBytes;
    return {
      id: view.getUint32(at + 1),
      name,
      instanceId,
      versionId: view.getUint32(bodyAt - 4),
      bodyAt,
      bodyEnd: -1,
      scanAt: bodyAt,
      toldAt,
      isToldTried: false,
    };
  }

  /** Moves the end of a section to the next place where it may be; false where there is none. */
  #moveEnd(opening: Opening): boolean {
    const bytes = this.#bytes;
    this.#pay(CANDIDATE_COST);
    if (!opening.isToldTried) {
      opening.isToldTried = true;
      if (this.#isFooter(opening, opening.toldAt)) {
        opening.bodyEnd = opening.toldAt;
        return true;
      }
    }
    for (;;) {
      const found = bytes.indexOf(SECTION.footer, opening.scanAt);
      const at = found < 0 ? bytes.length : found;
      this.#pay(at - opening.scanAt + CANDIDATE_COST);
      if (found < 0) return false;
      opening.scanAt = at + 1;
      if (at === opening.toldAt || !this.#isFooter(opening, at) || !this.#canFollow(at + FOOTER_BYTES))
        continue;
      opening.bodyEnd = at;
      return true;
    }
  }

  #isFooter({ id, bodyAt }: Opening, at: number): boolean {
    const bytes = this.#bytes;
    if (at < bodyAt || at + FOOTER_BYTES > bytes.length || bytes[at] !== SECTION.footer) return false;
    return this.#view.getUint32(at + 1) === id;
  }

  #canFollow(at: number): boolean {
    if (at === this.#bytes.length) return true;
    const tag = this.#bytes[at];
    return tag === SECTION.full || tag === SECTION.command;
  }

  /** Passes over commands that change nothing. */
  #passCommands(from: number): number {
    const end = this.#bytes.length;
    let at = from;
    while (at + 5 <= end && this.#bytes[at] === SECTION.command) {
      const command = COMMANDS.get(this.#view.getUint16(at + 1));
      const lengthBytes = this.#view.getUint16(at + 3);
      const isPassive = command !== undefined && PASSIVE_COMMANDS.has(command.name);
      if (!isPassive || !command.lengths?.includes(lengthBytes) || at + 5 + lengthBytes > end) return at;
      at += 5 + lengthBytes;
      this.#pay(1);
    }
    return at;
  }

  #pay(bytes: number): void {
    this.#budget -= bytes;
    if (this.#budget < 0) refuse('format-limit', { field: 'readings of the device sections' });
  }
}

function refuse(
  code: 'format-range' | 'format-limit' | 'stream-feature',
  data: Record<string, string | number>,
): never {
  throw new VitrineError(code, { record: 'migration stream', ...data });
}
