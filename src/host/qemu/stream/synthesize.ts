// Writes migration streams that QEMU loads: into a process that waits for one, or as the state of an internal snapshot
// (`../qcow2.ts`) into one that runs. Any pages, any devices; what is not told stays as the target has it.

import type { OwnedBytes } from '../../../base/bytes.ts';
import { VitrineError } from '../../../base/error.ts';
import type { DeviceSection, RamBlock, StreamPage } from './stream.ts';
import { StreamWriter } from './stream-writer.ts';
import { IGNORE_SHARED, MAGIC, PAGE_BYTES, RAM, RAM_SECTION, SECTION, VERSION } from './wire.ts';

export interface StreamContent {
  /** The versioned name, `pc-q35-7.2`; left out only for a target with `-global migration.send-configuration=off`. */
  readonly machineType?: string | undefined;
  /** Those of the target: it refuses others. */
  readonly capabilities?: readonly string[];
  /** All blocks of the machine, also those without pages; none at all leaves memory out. With `x-ignore-shared` each has a gpa. */
  readonly blocks?: readonly RamBlock[];
  /** In any order; a target that is not fresh keeps what is not told, so zero pages are told too. */
  readonly pages?: Iterable<StreamPage>;
  readonly sections: readonly DeviceSection[];
  /** Hears where in the stream the body of a section begins. */
  readonly onSection?: (section: DeviceSection, offsetBytes: number) => void;
  /** A description of the sections, so that they can be told apart exactly; without it QEMU warns on its standard error. */
  readonly withVmdesc?: boolean;
}

/**
 * The bytes of a stream, in chunks.
 *
 * Throws `argument-invalid` for pages of no block or outside of it, and for blocks without an address where one is due.
 */
export function synthesizeStream(content: StreamContent): OwnedBytes[] {
  return [...streamChunks(content)];
}

/** As `synthesizeStream`, a chunk of about a mebibyte at a time: RAM need not fit into memory twice. */
export function* streamChunks(content: StreamContent): Generator<OwnedBytes, void, void> {
  const { blocks = [], sections, onSection } = content;
  const writer = new StreamWriter();
  writeHead(writer, content);
  let nextId: number = RAM_SECTION.id + 1;
  const write = (section: DeviceSection): void => {
    const offsetBytes = writer.deviceSection(nextId++, section);
    onSection?.(section, offsetBytes);
  };
  for (const section of sections.filter(({ early }) => early)) write(section);
  if (blocks.length > 0) {
    writeRamStart(writer, blocks, content.capabilities?.includes(IGNORE_SHARED) ?? false);
    yield* writePages(writer, blocks, content.pages ?? []);
  } else if (content.pages !== undefined) {
    throw new VitrineError('argument-invalid', { name: 'pages', reason: 'without blocks' });
  }
  for (const section of sections.filter(({ early }) => !early)) {
    write(section);
    if (writer.isFull) yield writer.take();
  }
  writer.u8(SECTION.eof);
  if (content.withVmdesc ?? true) writeVmdesc(writer, sections);
  yield writer.take();
}

/** Magic, version, configuration. */
export function writeHead(
  writer: StreamWriter,
  { machineType, capabilities = [] }: Pick<StreamContent, 'machineType' | 'capabilities'>,
): void {
  writer.u32(MAGIC);
  writer.u32(VERSION);
  if (machineType === undefined) return;
  writer.u8(SECTION.configuration);
  writer.u32(machineType.length);
  writer.ascii(machineType);
  if (capabilities.length === 0) return;
  writer.u8(SECTION.subsection);
  writer.name('configuration/capabilities');
  writer.u32(1);
  writer.u32(capabilities.length);
  for (const name of capabilities) writer.name(name);
}

/** The RAM section's first part: its list of blocks. */
export function writeRamStart(
  writer: StreamWriter,
  blocks: readonly RamBlock[],
  withAddresses: boolean,
): void {
  const { name, version, id } = RAM_SECTION;
  writer.sectionHeader(SECTION.start, id, { name, instanceId: 0, versionId: version });
  const totalBytes = blocks.reduce((sum, { usedBytes }) => sum + usedBytes, 0);
  writer.u64(totalBytes + RAM.blockList);
  for (const block of blocks) {
    if (block.usedBytes % PAGE_BYTES !== 0) {
      throw new VitrineError('argument-invalid', { name: block.name, usedBytes: block.usedBytes });
    }
    writer.name(block.name);
    writer.u64(block.usedBytes);
    if (!withAddresses) continue;
    if (block.gpa === undefined) {
      throw new VitrineError('argument-invalid', { name: block.name, reason: 'no gpa' });
    }
    writer.u64(block.gpa);
  }
  writer.u64(RAM.eos);
  writer.footer(id);
}

/** Pages in one last part of the RAM section. */
function* writePages(
  writer: StreamWriter,
  blocks: readonly RamBlock[],
  pages: Iterable<StreamPage>,
): Generator<OwnedBytes, void, void> {
  writer.u8(SECTION.end);
  writer.u32(RAM_SECTION.id);
  let lastBlock = -1;
  for (const page of pages) {
    writePage(writer, blocks, page, lastBlock);
    lastBlock = page.block;
    if (writer.isFull) yield writer.take();
  }
  writer.u64(RAM.eos);
  writer.footer(RAM_SECTION.id);
}

/** One page; `lastBlock` is the block of the page before in this stream, or -1. */
export function writePage(
  writer: StreamWriter,
  blocks: readonly RamBlock[],
  { block, offset, bytes }: StreamPage,
  lastBlock: number,
): void {
  const of = blocks[block];
  const isPage = typeof bytes === 'number' || bytes.length === PAGE_BYTES;
  if (of === undefined || !isPage || offset % PAGE_BYTES !== 0 || offset < 0 || offset >= of.usedBytes) {
    throw new VitrineError('argument-invalid', { name: 'page', block, offset });
  }
  // Fills other than zero are pages: QEMU refuses them as zero pages since 8.2.
  const isZero = bytes === 0;
  writer.u64(offset + (isZero ? RAM.zero : RAM.page) + (block === lastBlock ? RAM.sameBlock : 0));
  if (block !== lastBlock) writer.name(of.name);
  if (isZero) writer.u8(0);
  else writer.bytes(typeof bytes === 'number' ? new Uint8Array(PAGE_BYTES).fill(bytes) : bytes);
}

/** QEMU skips what it says; readers that split sections use the sizes. */
function writeVmdesc(writer: StreamWriter, sections: readonly DeviceSection[]): void {
  const devices = sections.map(({ name, instanceId, versionId, body }) => ({
    name,
    instance_id: instanceId,
    version: versionId,
    fields: [{ name: 'body', type: 'buffer', size: body.length }],
  }));
  const json = JSON.stringify({ page_size: PAGE_BYTES, devices });
  writer.u8(SECTION.vmdesc);
  writer.u32(json.length);
  writer.ascii(json);
}
