// Any WebAssembly program as a guest, between two calls into it: then all its state lies in its memory, its mutable
// globals and its tables. What its loader keeps in JavaScript is not in the instance; `hostState` is for that.
//
// The region `memory` has the size that the memory may come to, not the one it has now: what is past the present size
// reads as zeros, and writing anything else there makes the memory grow. A memory cannot shrink: a program that is
// restored to a smaller one finds zeros past its end and, by `memory.size`, the larger size.
//
// Device records: `globals` and `tables` (their files say how they look), and `host` with the bytes of `hostState`.

import type { OwnedBytes } from '../../base/bytes.ts';
import { toHex } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { LIMITS } from '../../base/limits.ts';
import { blake3 } from '../../kernel/blake3.ts';
import { PageSet } from '../../memory/page-set.ts';
import { pageCountOf, type Region } from '../../memory/region.ts';
import type { SharedMemory } from '../../memory/shared-memory.ts';
import { regionOf, type Span } from '../../memory/span.ts';
import type { Barrier, BarrierOptions } from '../barrier.ts';
import { DirtyMarks } from '../dirty-marks.ts';
import { answerAtRest, type DoorbellDesk } from '../doorbell.ts';
import { FreeHints } from '../free-hints.ts';
import type { FreePageRequest, FreeSpanListener } from '../free-pages.ts';
import type {
  ConfigValue,
  DeviceRecord,
  DirtyTake,
  Guest,
  GuestTraits,
  MachineDescription,
} from '../guest.ts';
import { PauseGuard } from '../pause-guard.ts';
import type { CaughtInstance } from './catch-instance.ts';
import { sharedMemoryOf, traitsOf } from './describe-instance.ts';
import { WASM_PAGE_BYTES } from './export-internals.ts';
import { Extent } from './extent.ts';
import { GlobalState } from './global-state.ts';
import { type GrowMemory, growMemoryOf, growTo } from './grow-memory.ts';
import { InstanceBarrier } from './instance-barrier.ts';
import type { MarkedMemory } from './marked-memory.ts';
import { recordsByName } from './named-records.ts';
import { TableState } from './table-state.ts';

const GLOBALS_VERSION = 1;
const TABLES_VERSION = 1;
/** State that a loader keeps in JavaScript. */
export interface HostState {
  /** The version of these bytes; records of another one are refused. */
  readonly version: number;
  save(): OwnedBytes;
  /**
   * Validates, then takes the bytes back. The guest's memory is the restored one already.
   *
   * Throws `guest-state-invalid` and then has changed nothing.
   */
  load(bytes: OwnedBytes): void;
}

export interface WasmInstanceOptions {
  /** What the program is called: in its description, and to people. */
  readonly program: string;
  /** `wasm-instance` when left out. */
  readonly kind?: string;
  /** The program's own version. The digest of its module when left out. */
  readonly version?: string;
  /** More that shapes the program: heap size, options it was started with. */
  readonly config?: Readonly<Record<string, ConfigValue>>;
  readonly pageBytes?: number;
  readonly hostState?: HostState;
  /** Where the program asks by itself: see `wasmDoorbell`. None when left out. */
  readonly doorbell?: DoorbellDesk;
  /** Whether the program may be frozen now, asked when no call is inside. Always, when left out. */
  readonly isQuiescent?: () => boolean;
  /** How the memory is grown from outside. Found by the program's imports when left out. */
  readonly grow?: GrowMemory;
  /** How long a pause waits for calls to end. Five seconds when left out. */
  readonly pauseWaitMs?: number;
}

export class WasmInstanceGuest implements Guest {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  readonly doorbell: DoorbellDesk | undefined;
  readonly #caught: CaughtInstance;
  readonly #options: WasmInstanceOptions;
  readonly #guard = new PauseGuard();
  readonly #memory: WebAssembly.Memory | undefined;
  readonly #initialPages: number;
  readonly #extent = new Extent();
  readonly #globals: GlobalState;
  readonly #tables: TableState;
  readonly #grow: GrowMemory;
  readonly #marked: MarkedMemory | undefined;
  readonly #marks: DirtyMarks | undefined;
  readonly #hints: FreeHints | undefined;
  #barrier: InstanceBarrier | undefined;
  #shutting: Promise<void> = Promise.resolve();

  /** A guest over an instance from `catchInstance` or `instantiateCaught`. One guest an instance. */
  constructor(caught: CaughtInstance, options: WasmInstanceOptions) {
    const { instance, internals, imports, moduleBytes, marked } = caught;
    this.#caught = caught;
    this.#options = options;
    const { doorbell } = options;
    this.doorbell = doorbell;
    if (doorbell !== undefined) caught.gate.onRest = () => answerAtRest(this, doorbell);
    const { memory } = internals;
    // Safe: the name is that of the module's own memory.
    this.#memory = memory && (instance.exports[memory.exportName] as WebAssembly.Memory);
    this.#initialPages = memory?.minPages ?? 0;
    this.#globals = new GlobalState(instance.exports, internals.globals);
    this.#tables = new TableState(instance.exports, internals.tables, caught.freshTables);
    this.#grow = options.grow ?? growMemoryOf(imports, marked && ((_, pages) => void marked.grow(pages)));
    this.traits = traitsOf(marked, this.#memory);
    const sizeBytes = (memory?.maxPages ?? 0) * WASM_PAGE_BYTES;
    this.regions = [
      {
        id: 0,
        name: 'memory',
        kind: 'ram',
        guestAddress: 0,
        sizeBytes,
        pageBytes: options.pageBytes ?? LIMITS.defaultPageBytes,
      },
    ];
    this.#marked = marked;
    if (marked !== undefined) {
      const { pageBytes } = this.regions[0]!;
      if (marked.layout.pageBytes !== pageBytes) {
        throw new VitrineError('argument-invalid', {
          name: 'pageBytes',
          value: pageBytes,
          required: marked.layout.pageBytes,
        });
      }
      this.#marks = new DirtyMarks(this.regions);
      this.#hints = new FreeHints(this.regions, this.#marks, (_, page) => this.#tellApart(page));
    }
    const moduleDigest = digestOf(moduleBytes);
    this.machine = {
      kind: options.kind ?? 'wasm-instance',
      version: options.version ?? moduleDigest,
      architecture: 'wasm32',
      config: { ...options.config, program: options.program, moduleDigest, memoryBytes: sizeBytes },
    };
  }

  /** Where its memory lies for readers in other workers, as far as it has come; undefined where it is not shared. */
  get shared(): SharedMemory | undefined {
    return sharedMemoryOf(this.#bytes());
  }

  /** Calls that are inside the program now. */
  get callDepth(): number {
    return this.#caught.gate.depth;
  }

  /**
   * Runs `work`, which calls into the program, as soon as the guest is not paused; a pause waits until it has ended.
   *
   * A plain call of an export while the guest is paused throws `wrong-state`. Throws `guest-closed`.
   */
  enter<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#caught.gate.enter(work);
  }

  async pause(): Promise<void> {
    if (this.#guard.pause()) this.#shutting = this.#shut();
    try {
      await this.#shutting;
    } catch (error) {
      if (this.#guard.state === 'paused') this.#guard.resume();
      throw error;
    }
  }

  pauseNow(): void {
    const isFirst = this.#guard.pause();
    try {
      if (isFirst) {
        this.#shutting = Promise.resolve();
        this.#caught.gate.shutNow();
        this.#checkQuiescent();
      } else if (!this.#caught.gate.isShut) {
        throw new VitrineError('guest-not-quiescent', { callDepth: this.callDepth });
      }
    } catch (error) {
      this.#guard.resume();
      throw error;
    }
  }

  async resume(): Promise<void> {
    this.resumeNow();
  }

  resumeNow(): void {
    if (!this.#guard.resume()) return;
    this.#extent.forget();
    this.#tables.forgetExtents();
    this.#caught.gate.open();
  }

  /**
   * Says that the host is about to write these bytes of the program's memory, or has written them: an instrumented program
   * tells of its own writes, and nothing else does. Before the write it serves barriers too. Nothing happens where no
   * marks are kept. Throws `span-out-of-range`.
   */
  markWritten(address: number, lengthBytes: number): void {
    const span = { region: 0, offsetBytes: address, lengthBytes };
    regionOf(this.regions, span);
    this.#barrier?.beforeWrite(span);
    this.#marks?.mark(span);
  }

  /**
   * The program uses nothing of these bytes until it writes there again: a save keeps zeros in place of the whole pages among
   * them. Nothing where no marks are kept, and outside of memory. Inside a call it counts for pages alone that were not
   * written since the last save, since the call may go on writing. Never throws.
   */
  hintFree(address: number, lengthBytes: number): void {
    this.#hints?.hintAt(address, lengthBytes);
  }

  /** There once the program has hinted anything. */
  get freePageHint(): ((tell: FreeSpanListener) => FreePageRequest) | undefined {
    return this.#hints?.request;
  }

  /** Throws `unsupported` for a program that was not instrumented for it. The view ends where the memory does now. */
  openBarrier(options: BarrierOptions): Barrier {
    this.#guard.requireOpen();
    const [marked, marks] = [this.#marked, this.#marks];
    if (marked === undefined || marks === undefined || this.traits.tracking !== 'barrier') {
      throw new VitrineError('unsupported', { missing: 'a barrier' });
    }
    if (this.#barrier !== undefined) {
      throw new VitrineError('wrong-state', { actual: 'a barrier is open', required: 'none' });
    }
    const view = (): Uint8Array => {
      this.#guard.requireOpen();
      return marked.bytes();
    };
    const onClose = (): void => {
      this.#barrier = undefined;
    };
    this.#barrier = new InstanceBarrier({ regions: this.regions, view, onClose, marked, marks }, options);
    return this.#barrier;
  }

  /** Without marks its writes are not seen, but what the memory has not come to was never written. */
  takeDirty(): DirtyTake {
    this.#requirePaused();
    if (this.#marked !== undefined && this.#marks !== undefined) {
      this.#marked.moveTo(this.#marks, 0);
      return this.#marks.take();
    }
    const pages = this.regions.map((region) => {
      const set = new PageSet(pageCountOf(region));
      const end = Math.ceil(this.#bytes().length / region.pageBytes);
      for (let page = 0; page < end; page++) set.add(page);
      return set;
    });
    return { pages, commit: () => {}, putBack: () => {} };
  }

  view(region: number): Uint8Array | undefined {
    this.#requirePaused();
    const bytes = this.#bytes();
    return this.regions[region]?.sizeBytes === bytes.length ? bytes : undefined;
  }

  readPages(span: Span, into: Uint8Array): void {
    this.#requirePaused();
    regionOf(this.regions, span);
    const present = this.#bytes().subarray(span.offsetBytes, span.offsetBytes + span.lengthBytes);
    into.set(present);
    into.fill(0, present.length, span.lengthBytes);
  }

  writePages(span: Span, from: Uint8Array): void {
    this.#requirePaused();
    regionOf(this.regions, span);
    const bytes = from.subarray(0, span.lengthBytes);
    const present = this.#actualPages() * WASM_PAGE_BYTES;
    const used = span.offsetBytes + usedLength(bytes, present - span.offsetBytes);
    if (used > present) this.#growTo(Math.ceil(used / WASM_PAGE_BYTES));
    this.#barrier?.beforeWrite(span);
    this.#marks?.mark(span);
    const memory = this.#bytes();
    if (span.offsetBytes < memory.length) {
      memory.set(bytes.subarray(0, memory.length - span.offsetBytes), span.offsetBytes);
    }
  }

  saveDevices(): DeviceRecord[] {
    this.#requirePaused();
    const records = [
      { name: 'globals', version: GLOBALS_VERSION, bytes: this.#globals.save(this.#countedPages()) },
      { name: 'tables', version: TABLES_VERSION, bytes: this.#tables.save() },
    ];
    const { hostState } = this.#options;
    if (hostState === undefined) return records;
    return [...records, { name: 'host', version: hostState.version, bytes: hostState.save() }];
  }

  loadDevices(records: readonly DeviceRecord[]): void {
    this.#requirePaused();
    this.#hints?.forget();
    const { hostState } = this.#options;
    const expected = new Map([
      ['globals', GLOBALS_VERSION],
      ['tables', TABLES_VERSION],
    ]);
    if (hostState !== undefined) expected.set('host', hostState.version);
    const found = recordsByName(records, expected);
    const maxPages = (this.regions[0]?.sizeBytes ?? 0) / WASM_PAGE_BYTES;
    const globals = this.#globals.plan(found.get('globals')!, { minPages: this.#initialPages, maxPages });
    const tables = this.#tables.plan(found.get('tables')!);
    // Room changes nothing that the program reads but sizes, so it may be made before the last check.
    this.#growTo(globals.memoryPages);
    this.#tables.grow(tables);
    hostState?.load(found.get('host')!);
    this.#tables.apply(tables);
    this.#globals.apply(globals);
    this.#extent.restored(globals.memoryPages, this.#actualPages());
    this.doorbell?.restored();
  }

  async close(): Promise<void> {
    if (this.#guard.close()) this.#caught.gate.close();
  }

  async #shut(): Promise<void> {
    await this.#caught.gate.shut(this.#options.pauseWaitMs);
    this.#checkQuiescent();
  }

  #checkQuiescent(): void {
    if (this.#options.isQuiescent?.() !== false) return;
    this.#caught.gate.open();
    throw new VitrineError('guest-not-quiescent', { program: this.#options.program });
  }

  /** Also while a pause still waits for a call to end, the guest is not at rest. */
  #requirePaused(): void {
    this.#guard.requirePaused();
    if (!this.#caught.gate.isShut) {
      throw new VitrineError('wrong-state', { actual: 'pausing', required: 'paused' });
    }
  }

  /** A call marks a page once: only between calls, and where no barrier awaits the map, can its marks be moved. */
  #tellApart(page: number): boolean {
    if (!this.#marked!.hasMark(page)) return true;
    if (this.callDepth > 0 || this.#barrier !== undefined) return false;
    this.#marked!.moveTo(this.#marks!, 0);
    return true;
  }

  /** Memory as it is now: growth replaces the buffer, so it is never kept. */
  #bytes(): Uint8Array {
    if (this.#marked !== undefined) return this.#marked.bytes();
    return this.#memory === undefined ? new Uint8Array(0) : new Uint8Array(this.#memory.buffer);
  }

  #actualPages(): number {
    return this.#marked?.pages ?? this.#bytes().length / WASM_PAGE_BYTES;
  }

  /** The size that is saved. */
  #countedPages(): number {
    return this.#extent.size(this.#actualPages());
  }

  #growTo(pages: number): void {
    // No buffer changes that a loader would have to hear of.
    if (this.#marked?.isFixed === true) this.#marked.growTo(pages);
    else if (this.#memory !== undefined)
      growTo(this.#memory, pages + (this.#marked?.extraPages ?? 0), this.#grow);
  }
}

/** Bytes up to the last that is not zero, or `presentBytes` when all after them are. */
function usedLength(bytes: Uint8Array, presentBytes: number): number {
  const present = Math.max(0, presentBytes);
  for (let length = bytes.length; length > present; length--) if (bytes[length - 1] !== 0) return length;
  return Math.min(bytes.length, presentBytes);
}

function digestOf(bytes: OwnedBytes): string {
  const digest = new Uint8Array(32);
  blake3(bytes, digest);
  return toHex(digest);
}
