// A machine's device state: what it has to consist of, and how it is kept from one pause to the next.
//
// What a machine's devices are is learned when it is opened, from its first state; from then on records have to be exactly
// those. Loading resets the machine before QEMU reads the first byte of a state, so what it held is put back when QEMU
// refuses; records that came from this machine, or that it has loaded before, are sure to be good and need no such copy.

import type { OwnedBytes } from '../../base/bytes.ts';
import { SYSTEM_CLOCK } from '../../base/clock.ts';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { ConfigValue, DeviceRecord } from '../../guest/guest.ts';
import type { LoadedState } from './clone-ram.ts';
import {
  type BlockContent,
  blockRecordName,
  readRecord,
  recordOfBlock,
  recordOfSection,
  sectionName,
} from './device-records.ts';
import {
  builtBy,
  devicesOf,
  type FirstState,
  firstState,
  mustNotAsk,
  type Speech,
  sameBytes,
} from './first-state.ts';
import { editsForPast } from './guest-clock.ts';
import { RAM_BLOCK } from './profile.ts';
import { isRefusal } from './qmp.ts';
import type { BlockPages, LoadedNode, StateTransfer } from './state-transfer.ts';
import type { DeviceSection, ParsedStream, StreamPage } from './stream/index.ts';
import type { WholeRam } from './whole-ram.ts';

const PAGE_BYTES = 4096;
const ZERO_PAGE = new Uint8Array(PAGE_BYTES);
/** What QEMU writes when state was loaded that does not go with RAM, and calls a success. */
const COMPLAINT = /inconsistent with Host index|VQ \d+ size/;

/** Blocks that QEMU builds anew when firmware asks for them: ROM to the guest, and not always the same. */
const BUILT_PREFIX = '/rom@';
/** Of what QEMU says, what goes into an error. */
const MAX_TOLD = 2048;

export interface DeviceStateOptions {
  /** Whether sections may be saved apart from blocks; true when left out. */
  readonly quickSave?: boolean;
  /** Why state must not be loaded, where it must not: a test of it failed. */
  readonly restoreFault?: string | undefined;
  /**
   * What was loaded into a machine that was not reset since: what it consists of need not be asked, which takes writing all of RAM; nor what it
   * holds, where that must not be (`mustNotAsk`).
   */
  readonly loaded?: LoadedState | undefined;
  /** RAM that goes in with the state. */
  readonly wholeRam?: WholeRam | undefined;
}

/** How state gets out of a machine. */
export interface SavePath {
  readonly by: 'xen-save-devices-state' | 'snapshot-save';
  readonly because: string;
}

/** Records that were read and proven, in QEMU's order. */
export interface ReadState {
  readonly records: readonly DeviceRecord[];
  readonly sections: readonly DeviceSection[];
  readonly blocks: readonly BlockContent[];
}

interface Block {
  readonly name: string;
  readonly gpa: number;
  readonly sizeBytes: number;
  readonly isRom: boolean;
}

export class DeviceState {
  /** What names the machine's devices and blocks, for its description. */
  readonly config: Readonly<Record<string, ConfigValue>>;
  readonly #machineType: string;
  readonly #transfer: StateTransfer;
  readonly #speech: Speech;
  readonly #restoreFault: string | undefined;
  readonly #wholeRam: WholeRam | undefined;
  /** Names of the sections' records, in the order in which QEMU writes them. */
  readonly #sections: readonly string[];
  readonly #blocks: readonly Block[];
  /** By block: its record as the machine held it last, to be given again where it did not change. */
  readonly #held = new Map<string, DeviceRecord>();
  /** Bytes of records that this machine gave or took: QEMU accepts them. */
  readonly #proven = new WeakSet<OwnedBytes>();
  readonly savePath: SavePath;
  /** State of the built blocks' owner when they were looked at last; undefined when they have to be. */
  #built: Uint8Array | undefined;
  /** What the machine at rest holds; undefined when it has to be asked. */
  #now: DeviceRecord[] | undefined;
  /** What was loaded last, unless it was reset since. */
  #loaded: DeviceRecord[] | undefined;
  #node: { readonly records: readonly DeviceRecord[]; readonly loaded: LoadedNode } | undefined;

  private constructor(
    machineType: string,
    transfer: StateTransfer,
    first: FirstState,
    speech: Speech,
    options: DeviceStateOptions,
  ) {
    this.#machineType = machineType;
    this.#transfer = transfer;
    this.#speech = speech;
    this.#restoreFault = options.restoreFault;
    this.#wholeRam = options.wholeRam;
    this.#sections = first.sections.map(sectionName);
    this.#blocks = first.blocks.map(({ name, gpa, bytes }) => ({
      name,
      gpa,
      sizeBytes: bytes.length,
      isRom: isRom(name),
    }));
    const config: Record<string, ConfigValue> = {};
    for (const name of this.#sections) config[`device.${name}`] = true;
    for (const { name, sizeBytes } of this.#blocks) config[`block.${name}`] = sizeBytes;
    this.config = config;
    this.savePath = savePathOf(this.#blocks, options.quickSave ?? true);
    this.#holdBlocks(first.blocks);
    this.#built = builtBy(first.sections);
    if (options.loaded !== undefined) this.#loaded = this.#recordsOf(first.sections);
  }

  /** Learns what the machine consists of; it is at rest. Throws `unsupported` when one of its devices cannot be saved. */
  static async open(
    machineType: string,
    transfer: StateTransfer,
    speech: Speech,
    options: DeviceStateOptions = {},
  ): Promise<DeviceState> {
    try {
      const first = await firstState(transfer, speech, options.loaded);
      if (first.blocks.some(({ name }) => name === RAM_BLOCK)) {
        throw new VitrineError('unsupported', { missing: 'device state apart from RAM' });
      }
      return new DeviceState(machineType, transfer, first, speech, options);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      throw new VitrineError('unsupported', { missing: 'devices that can be saved', ...error.data });
    }
  }

  /** The machine ran, or may have: what it held is no longer known. */
  forget(): void {
    this.#now = undefined;
  }

  /** The machine was reset: its firmware will have blocks built again. */
  lookAgain(): void {
    this.#built = this.#loaded = undefined;
  }

  async save(): Promise<DeviceRecord[]> {
    this.#now ??= (mustNotAsk(this.#speech) ? this.#loaded : undefined) ?? (await this.#ask());
    return this.#now;
  }

  /** Reads and proves records. Throws `guest-state-invalid`; the machine is not touched. */
  read(records: readonly DeviceRecord[]): ReadState {
    const sections = new Map<string, DeviceSection>();
    const blocks = new Map<string, BlockContent>();
    for (const record of records) {
      if (sections.has(record.name) || blocks.has(record.name)) throw refusal(record.name, 'it comes twice');
      const read = readRecord(record);
      if ('section' in read) sections.set(record.name, read.section);
      else blocks.set(record.name, read.block);
    }
    const inOrder = this.#sections.map((name) => {
      const section = sections.get(name);
      if (section === undefined) throw refusal(name, 'it is missing');
      sections.delete(name);
      return section;
    });
    const contents = this.#blocks.map(({ name, sizeBytes }) => {
      const block = blocks.get(blockRecordName(name));
      if (block === undefined) throw refusal(blockRecordName(name), 'it is missing');
      if (block.bytes.length !== sizeBytes)
        throw refusal(blockRecordName(name), `${block.bytes.length} bytes`);
      blocks.delete(blockRecordName(name));
      return block;
    });
    for (const name of sections.keys()) throw refusal(name, 'the machine has no such device');
    for (const name of blocks.keys()) throw refusal(name, 'the machine has no such memory');
    return { records, sections: inOrder, blocks: contents };
  }

  /**
   * Puts a state in. The machine is at rest and its RAM in place.
   *
   * Throws `guest-state-invalid` when QEMU refuses it; the devices are then as they were. Throws `unsupported`
   * where this QEMU failed the test of it.
   */
  async load(state: ReadState): Promise<void> {
    if (this.#restoreFault !== undefined) {
      throw new VitrineError('unsupported', { missing: 'a restore in place', because: this.#restoreFault });
    }
    const isProven = state.records.every(({ bytes }) => this.#proven.has(bytes));
    const before = isProven ? undefined : this.read(await this.save());
    this.#now = undefined;
    const { saidBytes } = this.#speech;
    try {
      await this.#put(state);
      const said = this.#speech.saidSince(saidBytes);
      if (COMPLAINT.test(said)) throw new VitrineError('guest-failed', { said });
    } catch (error) {
      if (!isVitrineError(error, 'guest-failed')) throw error;
      if (before !== undefined) await this.#put(before);
      const said = this.#speech.saidSince(saidBytes) || String(error.data.said ?? '');
      throw new VitrineError('guest-state-invalid', { said: said.slice(0, MAX_TOLD) }, { cause: error });
    }
    for (const { bytes } of state.records) this.#proven.add(bytes);
  }

  async #put(state: ReadState): Promise<void> {
    const isTranslated = this.#speech.profile.accelerator === 'tcg';
    const edits = isTranslated ? editsForPast(state.sections, SYSTEM_CLOCK.wallMs()) : [];
    await this.#transfer.loadState(await this.#nodeOf(state), edits);
    this.#wholeRam?.commit();
    const byName = new Map(state.records.map((record) => [record.name, record]));
    // Safe, here and below: `read` found a record of each.
    for (const { name } of state.blocks) this.#held.set(name, byName.get(blockRecordName(name))!);
    this.#built = builtBy(state.sections);
    const blocks = this.#blocks.map(({ name }) => blockRecordName(name));
    this.#loaded = [...this.#sections, ...blocks].map((name) => byName.get(name)!);
  }

  /** The state as a node: the last one again where it is the same, as in a loop that goes back to one point. */
  async #nodeOf(state: ReadState): Promise<LoadedNode> {
    const known = this.#node;
    const withRam = this.#wholeRam?.isPending ?? false;
    const isSame =
      !withRam &&
      known !== undefined &&
      known.records.length === state.records.length &&
      known.records.every(({ bytes }, index) => bytes === state.records[index]!.bytes);
    if (isSame) return known.loaded;
    if (known !== undefined) {
      this.#node = undefined;
      await this.#transfer.dropNode(known.loaded);
    }
    const loaded = await this.#transfer.addState({
      machineType: this.#machineType,
      sections: state.sections,
      ...this.#memoryOf(state),
    });
    // One that has RAM in it is right once.
    this.#node = { records: withRam ? [] : state.records, loaded };
    return loaded;
  }

  /** The blocks that have to be written; none where the machine holds them all. */
  #memoryOf({ blocks }: ReadState): {
    blocks?: { name: string; usedBytes: number; gpa: number }[];
    pages?: StreamPage[];
  } {
    const pages: StreamPage[] = [];
    const listed: { name: string; usedBytes: number; gpa: number }[] = [];
    for (const [index, { bytes }] of blocks.entries()) {
      const { name, gpa, sizeBytes, isRom } = this.#blocks[index]!;
      if (isRom && !name.startsWith(BUILT_PREFIX) && this.#holds(name, bytes)) continue;
      const block = listed.push({ name, usedBytes: sizeBytes, gpa }) - 1;
      for (let offset = 0; offset < sizeBytes; offset += PAGE_BYTES) {
        const page = bytes.subarray(offset, offset + PAGE_BYTES);
        pages.push({ block, offset, bytes: sameBytes(page, ZERO_PAGE) ? 0 : page });
      }
    }
    if (this.#wholeRam?.isPending) {
      const block = listed.push(this.#wholeRam.block) - 1;
      pages.push(...this.#wholeRam.pendingPages(block));
    }
    return listed.length === 0 ? {} : { blocks: listed, pages };
  }

  #holds(block: string, bytes: Uint8Array): boolean {
    const held = this.#held.get(block);
    if (held === undefined) return false;
    const read = readRecord(held);
    return 'block' in read && sameBytes(read.block.bytes, bytes);
  }

  /** As `save`, in one piece whatever the machine has. */
  async saveWhole(): Promise<DeviceRecord[]> {
    const { stream, blocks } = await this.#transfer.saveWhole();
    return this.#recordsOf(devicesOf(stream), blocks);
  }

  /** As `saveWhole`, of a state that was streamed while the machine ran. Throws `guest-failed` when its devices are others. */
  recordsOfStream(
    stream: ParsedStream,
    contents: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  ): DeviceRecord[] {
    const blocks = this.#blocks.map(({ name, gpa }) => {
      const bytes = contents.get(name);
      if (bytes === undefined) throw new VitrineError('guest-failed', { command: 'migrate', missing: name });
      return { name, gpa, bytes };
    });
    return this.#recordsOf(devicesOf(stream), blocks);
  }

  /** Memory blocks beside RAM, by name, with their lengths. */
  get blockSizes(): ReadonlyMap<string, number> {
    return new Map(this.#blocks.map(({ name, sizeBytes }) => [name, sizeBytes]));
  }

  /** Whether the next save, too, takes sections alone, as far as is known before it. */
  get isQuick(): boolean {
    return this.savePath.by === 'xen-save-devices-state' && this.#built !== undefined;
  }

  async #ask(): Promise<DeviceRecord[]> {
    if (this.savePath.by === 'snapshot-save') return this.saveWhole();
    const devices = devicesOf(await this.#transfer.saveSections());
    const built = builtBy(devices);
    if (this.#built === undefined || !sameBytes(this.#built, built)) return this.saveWhole();
    return this.#recordsOf(devices);
  }

  /** Records of what the machine holds; `blocks` where they were looked at. Throws `guest-failed` when its devices are others. */
  #recordsOf(sections: readonly DeviceSection[], blocks?: readonly BlockPages[]): DeviceRecord[] {
    const names = sections.map(sectionName);
    const odd = [
      ...names.filter((name) => !this.#sections.includes(name)),
      ...this.#sections.filter((name) => !names.includes(name)),
    ];
    if (odd.length > 0) {
      // A snapshot of them would go into no machine: neither into this one as it was described, nor into one that has them.
      throw new VitrineError('guest-failed', {
        reason: 'devices came or went since the machine was started',
        devices: odd,
      });
    }
    if (blocks !== undefined) {
      this.#holdBlocks(blocks);
      this.#built = builtBy(sections);
    }
    const records = sections.map(recordOfSection);
    for (const { name } of this.#blocks) records.push(this.#held.get(name)!);
    for (const { bytes } of records) this.#proven.add(bytes);
    return records;
  }

  #holdBlocks(blocks: readonly BlockPages[]): void {
    for (const { name, bytes } of blocks) {
      if (!this.#holds(name, bytes)) this.#held.set(name, recordOfBlock({ name, bytes }));
    }
  }
}

function savePathOf(blocks: readonly Block[], quickSave: boolean): SavePath {
  const written = blocks.find(({ isRom }) => !isRom);
  if (written !== undefined)
    return { by: 'snapshot-save', because: `the guest writes to ${written.name}, too` };
  if (!quickSave) return { by: 'snapshot-save', because: 'the quick way failed its test' };
  return { by: 'xen-save-devices-state', because: 'all other memory is ROM' };
}

/** Blocks that a guest cannot write. */
function isRom(block: string): boolean {
  return block === 'pc.bios' || block === 'pc.rom' || block.startsWith('/rom@') || block.endsWith('.rom');
}

function refusal(record: string, reason: string): VitrineError {
  return new VitrineError('guest-state-invalid', { record, reason });
}
