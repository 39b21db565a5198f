// Reads a migration stream as it comes, in chunks of any size. Pages are told one by one and never kept; device sections are
// gathered, within bounds, and told apart at the end. Nothing of what a stream says is trusted: it ends with a result or
// with a typed error, and takes memory by the bytes that came.

import type { OwnedBytes } from '../../../base/bytes.ts';
import { VitrineError } from '../../../base/error.ts';
import { ByteQueue } from './byte-queue.ts';
import { splitSections } from './device-sections.ts';
import { Gathered } from './gathered.ts';
import { RamRecords, type Reading, readName, until } from './ram-records.ts';
import type { PageListener, ParsedStream, RamBlock } from './stream.ts';
import { findEnding, toldBytes } from './vmdesc.ts';
import {
  COMMANDS,
  IGNORE_SHARED,
  MAGIC,
  PASSIVE_COMMANDS,
  RAM_SECTION,
  SECTION,
  STREAM_LIMITS,
  VERSION,
} from './wire.ts';

export interface ParseOptions {
  /** Hears of each page as it is read. */
  readonly onPage?: PageListener;
  /** Hears of all blocks, before the first page. */
  readonly onBlocks?: (blocks: readonly RamBlock[]) => void;
  /** Ends the reading with `aborted`; looked at when a chunk comes, so that whoever aborts also ends a silent source. */
  readonly signal?: AbortSignal;
}

/** Capabilities that change what follows; a reader that does not know one cannot go on. */
const KNOWN_CAPABILITIES: readonly string[] = [IGNORE_SHARED];
const EMPTY: ReadonlyMap<string, number> = new Map();

/**
 * Reads a stream to its end. The source is closed when reading fails.
 *
 * Also reads what `xen-save-devices-state` writes: device sections without a configuration, RAM and description.
 * Throws `format-*` for bytes that are no stream or not all of one, `stream-feature` for a stream that uses what is not read
 * (its data name the capability), `aborted`, and what the source throws.
 */
export async function parseStream(
  source: AsyncIterable<Uint8Array>,
  options: ParseOptions = {},
): Promise<ParsedStream> {
  const queue = new ByteQueue();
  const reading = readStream(queue, options);
  let step = reading.next();
  for await (const chunk of source) {
    if (options.signal?.aborted) throw new VitrineError('aborted', {}, { cause: options.signal.reason });
    queue.push(chunk);
    if (chunk.length > 0) step = reading.next();
  }
  if (options.signal?.aborted) throw new VitrineError('aborted', {}, { cause: options.signal.reason });
  queue.end();
  while (!step.done) step = reading.next();
  return step.value;
}

function* readStream(queue: ByteQueue, options: ParseOptions): Reading<ParsedStream> {
  const { onPage = () => {}, onBlocks = () => {} } = options;
  yield* until(queue, 8);
  const magic = queue.u32();
  if (magic !== MAGIC) queue.refuse('format-magic', { magic });
  const version = queue.u32();
  if (version !== VERSION) queue.refuse('format-version', { version, expected: VERSION });
  const { machineType, capabilities } = yield* readConfiguration(queue);
  const unknown = capabilities.find((name) => !KNOWN_CAPABILITIES.includes(name));
  if (unknown !== undefined) queue.refuse('stream-feature', { feature: unknown });

  yield* passCommands(queue);
  const before = yield* gatherBeforeRam(queue);
  const ram = new RamRecords({ withAddresses: capabilities.includes(IGNORE_SHARED), onPage, onBlocks });
  // Without RAM the stream is at its end already, and what was gathered are all its sections.
  const hasRam = before.isRamNext;
  if (hasRam) yield* readRamSections(queue, ram);
  const tail = hasRam ? yield* gatherToEnd(queue) : before.bytes;

  const ending = findEnding(tail);
  if (ending === undefined) return queue.refuse('format-truncated', { field: 'end of the device sections' });
  const { endAt, vmdesc } = ending;
  const told = vmdesc === undefined ? EMPTY : toldBytes(vmdesc);
  const early = hasRam ? splitSections(before.bytes, { early: true, told }) : [];
  const late = splitSections(tail.subarray(0, endAt), { early: false, told });
  const sections = [...early, ...late];
  return {
    version,
    machineType,
    capabilities,
    blocks: ram.blocks,
    sections,
    vmdesc,
    pageCount: ram.pageCount,
  };
}

interface Configuration {
  readonly machineType: string | undefined;
  readonly capabilities: readonly string[];
}

function* readConfiguration(queue: ByteQueue): Reading<Configuration> {
  yield* until(queue, 1);
  if (queue.peekU8() !== SECTION.configuration) return { machineType: undefined, capabilities: [] };
  yield* until(queue, 5);
  queue.u8();
  const lengthBytes = queue.u32();
  const { maxMachineTypeBytes } = STREAM_LIMITS;
  if (lengthBytes > maxMachineTypeBytes) {
    queue.refuse('format-limit', { field: 'machine type', lengthBytes, maxMachineTypeBytes });
  }
  yield* until(queue, lengthBytes);
  const machineType = queue.name(lengthBytes);
  const capabilities: string[] = [];
  for (;;) {
    yield* until(queue, 1);
    if (queue.peekU8() !== SECTION.subsection) return { machineType, capabilities };
    queue.u8();
    const name = yield* readName(queue);
    yield* until(queue, 4);
    const version = queue.u32();
    if (version !== 1) queue.refuse('format-version', { field: name, version, expected: 1 });
    if (name === 'configuration/capabilities') yield* readCapabilities(queue, capabilities);
    else if (name === 'configuration/uuid') {
      yield* until(queue, 16);
      queue.bytes(16);
    } else queue.refuse('stream-feature', { feature: name });
  }
}

function* readCapabilities(queue: ByteQueue, into: string[]): Reading<void> {
  yield* until(queue, 4);
  const count = queue.u32();
  const { maxCapabilities } = STREAM_LIMITS;
  if (into.length + count > maxCapabilities) {
    queue.refuse('format-limit', { field: 'capabilities', count, maxCapabilities });
  }
  for (let i = 0; i < count; i++) into.push(yield* readName(queue));
}

/** All parts of the RAM section, to its end. */
function* readRamSections(queue: ByteQueue, ram: RamRecords): Reading<void> {
  const id = yield* readRamStart(queue);
  yield* ram.read(queue);
  yield* readFooter(queue, id);
  for (;;) {
    yield* passCommands(queue);
    // A background snapshot has no last part: its devices follow at once.
    if (queue.peekU8() === SECTION.full) return;
    yield* until(queue, 5);
    const tag = queue.u8();
    if (tag === SECTION.start) {
      queue.u32();
      const feature = yield* readName(queue);
      queue.refuse('stream-feature', { feature });
    }
    if (tag !== SECTION.part && tag !== SECTION.end) queue.refuse('format-tag', { field: 'section', tag });
    const partId = queue.u32();
    if (partId !== id) queue.refuse('format-range', { field: 'section id', partId, expected: id });
    yield* ram.read(queue);
    yield* readFooter(queue, id);
    if (tag === SECTION.end) return;
  }
}

/** The header of the RAM section; its id. */
function* readRamStart(queue: ByteQueue): Reading<number> {
  yield* until(queue, 5);
  queue.u8();
  const id = queue.u32();
  const name = yield* readName(queue);
  if (name !== RAM_SECTION.name) queue.refuse('stream-feature', { feature: name });
  yield* until(queue, 8);
  const instanceId = queue.u32();
  const version = queue.u32();
  if (instanceId !== 0) queue.refuse('format-range', { field: 'instance of RAM', instanceId });
  if (version !== RAM_SECTION.version) {
    queue.refuse('format-version', { field: 'RAM', version, expected: RAM_SECTION.version });
  }
  return id;
}

function* readFooter(queue: ByteQueue, id: number): Reading<void> {
  yield* until(queue, 5);
  const tag = queue.u8();
  const footerId = queue.u32();
  if (tag !== SECTION.footer || footerId !== id) {
    queue.refuse('format-range', { field: 'footer', tag, footerId, expected: id });
  }
}

/** Passes over commands that change nothing for a reader, and refuses the others by name. */
function* passCommands(queue: ByteQueue): Reading<void> {
  for (;;) {
    yield* until(queue, 1);
    if (queue.peekU8() !== SECTION.command) return;
    yield* until(queue, 5);
    queue.u8();
    const number = queue.u16();
    const lengthBytes = queue.u16();
    const command = COMMANDS.get(number);
    if (command === undefined) return queue.refuse('format-tag', { field: 'command', number });
    if (!PASSIVE_COMMANDS.has(command.name)) queue.refuse('stream-feature', { feature: command.name });
    if (!command.lengths?.includes(lengthBytes)) {
      queue.refuse('format-range', { field: command.name, lengthBytes });
    }
    yield* until(queue, lengthBytes);
    queue.bytes(lengthBytes);
  }
}

/** Sections before RAM, or all of the stream where there is no RAM. */
function* gatherBeforeRam(queue: ByteQueue): Reading<{ bytes: OwnedBytes; isRamNext: boolean }> {
  const gathered = new Gathered();
  yield* until(queue, 1);
  if (queue.peekU8() === SECTION.start) return { bytes: gathered.finish(), isRamNext: true };
  for (;;) {
    while (queue.available > 0) {
      gathered.append(queue.chunk());
      const ramAt = gathered.findRam();
      if (ramAt >= 0) {
        queue.putBack(gathered.truncate(ramAt));
        return { bytes: gathered.finish(), isRamNext: true };
      }
      checkGathered(queue, gathered);
    }
    if (queue.ended) return { bytes: gathered.finish(), isRamNext: false };
    yield;
  }
}

function* gatherToEnd(queue: ByteQueue): Reading<OwnedBytes> {
  const gathered = new Gathered();
  for (;;) {
    while (queue.available > 0) {
      gathered.append(queue.chunk());
      checkGathered(queue, gathered);
    }
    if (queue.ended) return gathered.finish();
    yield;
  }
}

function checkGathered(queue: ByteQueue, gathered: Gathered): void {
  const maxBytes = STREAM_LIMITS.maxDeviceBytes + STREAM_LIMITS.maxVmdescBytes;
  if (gathered.length > maxBytes) queue.refuse('format-limit', { field: 'device sections', maxBytes });
}
