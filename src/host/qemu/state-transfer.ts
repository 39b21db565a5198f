// Getting device state out of a machine at rest and into it, over its monitor and files in its run directory.
//
//   out, quick   `xen-save-devices-state` writes every device section to a file: about a millisecond, and it can be asked
//                again as often as one likes. It needs no Xen. Memory blocks that are not RAM are not in it.
//   out, whole   `snapshot-save` into a scratch qcow2: sections and blocks. Of RAM it holds nothing, since with the
//                capability `x-ignore-shared` memory in a shared file is left out.
//   in           a migration stream written as the only internal snapshot of a qcow2, added as a node, `snapshot-load`.
//
// What was tried and lost: `migrate` leaves disks inactive and cannot be asked twice in one pause; `xen-load-devices-state`
// loads the state and then ends the process (QEMU 7.2 and 10.0).
//
// RAM has to be in place before state goes in: virtio devices read their queues from it.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { VitrineError } from '../../base/error.ts';
import { sectionName } from './device-records.ts';
import type { SectionEdit } from './guest-clock.ts';
import { RAM_BLOCK } from './profile.ts';
import { stateOffset, vmstateImage } from './qcow2.ts';
import type { Qmp } from './qmp.ts';
import {
  type DeviceSection,
  type ParsedStream,
  parseStream,
  type StreamContent,
  synthesizeStream,
} from './stream/index.ts';
import { readVmstate } from './vmstate-reader.ts';

/** Machine state in place of RAM's: set in every machine, and written into every stream that goes in. */
export const IGNORE_SHARED = 'x-ignore-shared';
/** How the nodes of states are called: shortly, see `qmp.ts`. */
export const STATE_NODE_PREFIX = 'vitrine-s';
const TAG = 'vitrine';
const EMPTY_TAG = 'empty';
const PAGE_BYTES = 4096;

/** All of one memory block, as the pages of a stream told it. */
export interface BlockPages {
  readonly name: string;
  readonly gpa: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface WholeState {
  readonly stream: ParsedStream;
  /** Every block but those that were left out because they are shared. */
  readonly blocks: readonly BlockPages[];
}

/** A state that lies in a file and is a node of QEMU's: it can be loaded any number of times. */
export interface LoadedNode {
  readonly node: string;
  readonly file: string;
  /** Where in the file the bodies of sections begin, by `sectionName`. */
  readonly places: ReadonlyMap<string, number>;
}

/** Hears of RAM in a whole state: bytes that are valid until it returns, or the byte that fills a page. */
export type RamListener = (offsetBytes: number, content: Uint8Array | number) => void;

export class StateTransfer {
  readonly #qmp: Qmp;
  readonly #directory: string;
  /** RAM that is not shared is in a whole state, too. */
  readonly #withRam: boolean;
  #lastNode = 0;

  constructor(qmp: Qmp, directory: string, options: { readonly withRam?: boolean } = {}) {
    this.#withRam = options.withRam ?? false;
    this.#qmp = qmp;
    this.#directory = directory;
  }

  /** Every device section, quickly. The machine is at rest. Throws `guest-failed`, with the device that cannot be saved. */
  async saveSections(): Promise<ParsedStream> {
    const filename = join(this.#directory, 'sections');
    // With `live` QEMU would give its disks away, as for a migration.
    await this.#qmp.execute('xen-save-devices-state', { filename, live: false });
    // At once: it is small and in memory, and the machine would rest for as long as other threads' turns take.
    return parseStream(oneChunk(readFileSync(filename)));
  }

  /** Device sections and memory blocks. The machine is at rest. */
  async saveWhole(onRam: RamListener = () => {}): Promise<WholeState> {
    const { node, file } = await this.#addNode(vmstateImage([Uint8Array.of(0)], EMPTY_TAG));
    try {
      await this.#qmp.runJob('snapshot-save', { tag: TAG, vmstate: node, devices: [node] });
    } finally {
      await this.#qmp.execute('blockdev-del', { 'node-name': node });
    }
    // Read once QEMU has closed it: everything is in the file then.
    const image = await readFile(file);
    await rm(file, { force: true });
    return readWhole(readVmstate(image, TAG), this.#withRam ? onRam : undefined);
  }

  /** Makes a state ready to be loaded; `dropNode` ends it. */
  async addState(content: StreamContent): Promise<LoadedNode> {
    const capabilities = [IGNORE_SHARED];
    const inStream: [string, number][] = [];
    const onSection = (section: DeviceSection, offsetBytes: number): void => {
      inStream.push([sectionName(section), offsetBytes]);
    };
    const stream = synthesizeStream({ ...content, capabilities, onSection });
    const from = stateOffset(stream);
    const places = new Map(inStream.map(([name, offsetBytes]) => [name, from + offsetBytes]));
    return { ...(await this.#addNode(vmstateImage(stream, TAG))), places };
  }

  /**
   * Loads a state, with other bytes at some places of it, which stay in it. The machine is at rest and its RAM in place.
   *
   * Throws `guest-failed` with QEMU's words when it refuses: its devices are reset then, and not what they were.
   */
  async loadState({ node, file, places }: LoadedNode, edits: readonly SectionEdit[] = []): Promise<void> {
    if (edits.length > 0) writeEdits(file, places, edits);
    await this.#qmp.runJob('snapshot-load', { tag: TAG, vmstate: node, devices: [node] });
  }

  async dropNode({ node, file }: Omit<LoadedNode, 'places'>): Promise<void> {
    await this.#qmp.execute('blockdev-del', { 'node-name': node });
    await rm(file, { force: true });
  }

  async #addNode(image: Uint8Array): Promise<Omit<LoadedNode, 'places'>> {
    const node = `${STATE_NODE_PREFIX}${++this.#lastNode}`;
    const file = join(this.#directory, `${node}.qcow2`);
    await writeFile(file, image, { mode: 0o600 });
    try {
      await this.#qmp.execute('blockdev-add', {
        driver: 'qcow2',
        'node-name': node,
        // A scratch file in memory: nothing of it has to outlive the machine, and it is ours alone.
        cache: { 'no-flush': true },
        'overlap-check': 'none',
        file: { driver: 'file', filename: file },
      });
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
    return { node, file };
  }
}

/** At once: it is a few words in memory. */
function writeEdits(file: string, places: ReadonlyMap<string, number>, edits: readonly SectionEdit[]): void {
  const descriptor = openSync(file, 'r+');
  try {
    for (const { section, offsetBytes, bytes } of edits) {
      const place = places.get(section);
      assert(place !== undefined, 'an edit is of a section that is there');
      writeSync(descriptor, bytes, 0, bytes.length, place + offsetBytes);
    }
  } finally {
    closeSync(descriptor);
  }
}

async function readWhole(state: Uint8Array, onRam: RamListener | undefined): Promise<WholeState> {
  const contents = new Map<number, Uint8Array<ArrayBuffer>>();
  const told: { block: number; offset: number; content: Uint8Array | number }[] = [];
  let ram = -1;
  const stream = await parseStream(oneChunk(state), {
    onBlocks: (blocks) => {
      if (onRam !== undefined) ram = blocks.findIndex(({ name }) => name === RAM_BLOCK);
    },
    onPage: (block, offset, content) => {
      if (block === ram) return onRam?.(offset, content);
      told.push({ block, offset, content: typeof content === 'number' ? content : content.slice() });
    },
  });
  for (const { block, offset, content } of told) {
    const of = stream.blocks[block]!;
    let bytes = contents.get(block);
    if (bytes === undefined) {
      bytes = new Uint8Array(of.usedBytes);
      contents.set(block, bytes);
    }
    if (typeof content === 'number') bytes.fill(content, offset, offset + PAGE_BYTES);
    else bytes.set(content, offset);
  }
  const blocks = [...contents].map(([index, bytes]) => {
    const { name, gpa } = stream.blocks[index]!;
    if (gpa === undefined) throw new VitrineError('guest-failed', { block: name, reason: 'no address' });
    return { name, gpa, bytes };
  });
  return { stream, blocks };
}

async function* oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
