// Several qcow2 layers made one: a file that holds what each cluster was in the uppermost of them that has it, over what lay below
// the lowest. The layers are read and stay as they are. Done by ourselves, since tools would look for files behind them by the
// names in their headers, which may be gone by then.
//
//   header | refcount table | refcount block | L1 | L2 tables and clusters, as they come | more refcount blocks
//
// Read are qcow2 files as QEMU writes them for us: clusters of 64 KiB, not compressed, not encrypted, no subclusters.

import { type FileHandle, open } from 'node:fs/promises';
import { VitrineError } from '../../base/error.ts';
import { type Backing, CLUSTER_BYTES, overlayImage } from './overlay-image.ts';

const L2_ENTRIES = CLUSTER_BYTES / 8;
const REFCOUNTS_PER_BLOCK = CLUSTER_BYTES / 2;
const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;
const IS_COMPRESSED = 1n << 62n;
/** Nobody else refers to it. */
const IS_ALONE = 1n << 63n;
const READS_ZERO = 1n;
/** Of the features that a reader has to know: that refcounts may be off, which matters to writers alone. */
const IS_DIRTY = 1n;
const HEADER_BYTES = 104;
/** Where overlays have their tables: `overlay-image.ts`. */
const REFCOUNT_TABLE = 1;
const L1_TABLE = 3;

/** Writes the merged layers, their top first, to a new file `into`. Throws `unsupported` for a layer of another kind. */
export async function mergeLayers(
  layers: readonly string[],
  into: string,
  sizeBytes: number,
  backing: Backing,
): Promise<void> {
  const sources: LayerReader[] = [];
  const target = await open(into, 'wx', 0o600);
  try {
    for (const path of layers) sources.push(await LayerReader.open(path, sizeBytes));
    const writer = await LayerWriter.begin(target, overlayImage(sizeBytes, backing));
    for (let table = 0; table * L2_ENTRIES * CLUSTER_BYTES < sizeBytes; table++) {
      await mergeTable(sources, table, writer);
    }
    await writer.end();
    await target.sync();
  } finally {
    for (const source of sources) await source.close();
    await target.close();
  }
}

async function mergeTable(
  sources: readonly LayerReader[],
  index: number,
  writer: LayerWriter,
): Promise<void> {
  const tables: { source: LayerReader; entries: DataView }[] = [];
  for (const source of sources) {
    const entries = await source.table(index);
    if (entries !== undefined) tables.push({ source, entries });
  }
  if (tables.length === 0) return;
  const merged = new DataView(new ArrayBuffer(CLUSTER_BYTES));
  const cluster = new Uint8Array(CLUSTER_BYTES);
  for (let entry = 0; entry < L2_ENTRIES; entry++) {
    for (const { source, entries } of tables) {
      const value = entries.getBigUint64(8 * entry);
      if ((value & IS_COMPRESSED) !== 0n) throw source.refusal('compressed clusters');
      const offset = value & OFFSET_MASK;
      if ((value & READS_ZERO) !== 0n) {
        merged.setBigUint64(8 * entry, READS_ZERO);
        break;
      }
      if (offset === 0n) continue;
      await source.read(Number(offset), cluster);
      merged.setBigUint64(8 * entry, BigInt(await writer.add(cluster)) | IS_ALONE);
      break;
    }
  }
  await writer.addTable(index, new Uint8Array(merged.buffer));
}

class LayerReader {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #l1: DataView;

  private constructor(path: string, handle: FileHandle, l1: DataView) {
    this.#path = path;
    this.#handle = handle;
    this.#l1 = l1;
  }

  static async open(path: string, sizeBytes: number): Promise<LayerReader> {
    const handle = await open(path, 'r');
    try {
      const head = new DataView(new ArrayBuffer(HEADER_BYTES));
      await handle.read(new Uint8Array(head.buffer), 0, HEADER_BYTES, 0);
      const isOurs =
        head.getUint32(0) === 0x5146_49fb &&
        head.getUint32(4) === 3 &&
        1 << head.getUint32(20) === CLUSTER_BYTES &&
        Number(head.getBigUint64(24)) === sizeBytes &&
        head.getUint32(32) === 0 &&
        (head.getBigUint64(72) & ~IS_DIRTY) === 0n;
      if (!isOurs) throw new VitrineError('unsupported', { missing: 'a layer of this kind', file: path });
      const l1 = new DataView(new ArrayBuffer(8 * head.getUint32(36)));
      await handle.read(new Uint8Array(l1.buffer), 0, l1.byteLength, Number(head.getBigUint64(40)));
      return new LayerReader(path, handle, l1);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** One table of the second level; undefined where the layer holds nothing there. */
  async table(index: number): Promise<DataView | undefined> {
    if (8 * index >= this.#l1.byteLength) return undefined;
    const offset = Number(this.#l1.getBigUint64(8 * index) & OFFSET_MASK);
    if (offset === 0) return undefined;
    const entries = new Uint8Array(CLUSTER_BYTES);
    await this.read(offset, entries);
    return new DataView(entries.buffer);
  }

  /** Fills `into`; what lies behind the end of the file is zero. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    let done = 0;
    while (done < into.length) {
      const { bytesRead } = await this.#handle.read(into, done, into.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    into.fill(0, done);
  }

  refusal(has: string): VitrineError {
    return new VitrineError('unsupported', { missing: 'a layer of this kind', file: this.#path, has });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

class LayerWriter {
  readonly #target: FileHandle;
  readonly #l1 = new Map<number, number>();
  #clusterCount: number;

  private constructor(target: FileHandle, clusterCount: number) {
    this.#target = target;
    this.#clusterCount = clusterCount;
  }

  static async begin(target: FileHandle, empty: Uint8Array): Promise<LayerWriter> {
    await writeAll(target, empty, 0);
    return new LayerWriter(target, empty.length / CLUSTER_BYTES);
  }

  /** Appends a cluster; where it lies. */
  async add(cluster: Uint8Array): Promise<number> {
    const offset = this.#clusterCount++ * CLUSTER_BYTES;
    await writeAll(this.#target, cluster, offset);
    return offset;
  }

  async addTable(index: number, table: Uint8Array): Promise<void> {
    this.#l1.set(index, await this.add(table));
  }

  /** Writes what says where all is, and that each cluster is used once. */
  async end(): Promise<void> {
    for (const [index, offset] of this.#l1) {
      await this.#word(L1_TABLE * CLUSTER_BYTES + 8 * index, BigInt(offset) | IS_ALONE);
    }
    // The blocks that count are counted as well; the first one is there.
    let blockCount = 1;
    while (blockCount * REFCOUNTS_PER_BLOCK < this.#clusterCount + blockCount - 1) blockCount++;
    const first = this.#clusterCount;
    const total = first + blockCount - 1;
    for (let block = 0; block < blockCount; block++) {
      const at = block === 0 ? REFCOUNT_TABLE + 1 : first + block - 1;
      const counts = new DataView(new ArrayBuffer(CLUSTER_BYTES));
      const used = Math.min(REFCOUNTS_PER_BLOCK, total - block * REFCOUNTS_PER_BLOCK);
      for (let cluster = 0; cluster < used; cluster++) counts.setUint16(2 * cluster, 1);
      await writeAll(this.#target, new Uint8Array(counts.buffer), at * CLUSTER_BYTES);
      await this.#word(REFCOUNT_TABLE * CLUSTER_BYTES + 8 * block, BigInt(at * CLUSTER_BYTES));
    }
  }

  async #word(offset: number, value: bigint): Promise<void> {
    const word = new DataView(new ArrayBuffer(8));
    word.setBigUint64(0, value);
    await writeAll(this.#target, new Uint8Array(word.buffer), offset);
  }
}

async function writeAll(target: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}
