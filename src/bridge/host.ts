// The host port: what machines and stores there are behind a bridge. A session sees nothing else of the host, so that one
// implementation serves QEMU, another a test's flat guests, and neither is known to the protocol.

import type { OwnedBytes } from '../base/bytes.ts';
import type { WorkOptions } from '../base/work.ts';
import type { Machine } from '../engine/machine.ts';
import type { PeekRange } from '../engine/peek.ts';
import type { RestoreReport } from '../engine/restore.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import type { Vitrine } from '../engine/vitrine.ts';
import type { Store } from '../store/store.ts';
import type { BellBook } from './bell-book.ts';
import type { Jobs } from './jobs.ts';
import type { Recordings } from './recordings.ts';

/** `stopped`: known, with snapshots perhaps, and not running. `lost`: it ended by itself, see its status. */
export type MachineState = 'running' | 'paused' | 'stopped' | 'lost';

/** What a host tells people of a machine: which path serves it and why, what went wrong. Texts and numbers by name. */
export type MachineFacts = Readonly<Record<string, string | number | boolean | null>>;

/** A serial console. */
export interface MachineConsole {
  /** Types; resolves when the machine has taken it. */
  write(bytes: OwnedBytes): Promise<void>;
  /** Hands over what it says from now on, beginning with what it said last where that was kept. Returns how to stop. */
  listen(onBytes: (bytes: OwnedBytes) => void): () => void;
}

/** One connection to a machine's VNC server: RFB 3.8 from its first byte, without authentication. */
export interface ScreenLine {
  /** What the server sends, read as it is taken; it ends when the server ends or the line is closed. */
  readonly output: AsyncIterable<OwnedBytes>;
  /** Sends to the server; resolves when there is room for more. Throws `guest-closed`. */
  write(bytes: OwnedBytes): Promise<void>;
  close(): void;
}

/** A picture to look at, and a keyboard and a pointer that go with it. */
export interface MachineScreen {
  /** A line of its own. Throws `wrong-state` while the machine does not run, `guest-lost`. */
  open(): Promise<ScreenLine>;
}

/** What one processor holds, by the names of its makers, in the order that people know. */
export interface ProcessorRegisters {
  readonly processor: number;
  readonly registers: readonly { readonly name: string; readonly value: bigint }[];
}

/** What came of making resets quick. */
export interface QuickenedMachine {
  readonly moved: boolean;
  readonly because: string;
  readonly pauseMs: number;
}

/** One machine of a host. What is left out it cannot do: its verbs then throw `unsupported`. */
export interface HostMachine {
  /** As `MACHINE_NAME_PATTERN`. */
  readonly name: string;
  readonly state: MachineState;
  /** Under the host's engine; null while it does not run. */
  readonly machine: Machine | null;
  facts?(): Promise<MachineFacts>;
  /** Holds it until `resume`, whatever saves and restores do in between. */
  pause?(): Promise<void>;
  resume?(): Promise<void>;
  /**
   * Makes resets quick, for whoever is about to reset it often: where that takes it, it goes on in another process. Whether it did, what a
   * reset looks at from now on, and how long it rested.
   */
  quicken?(): Promise<QuickenedMachine>;
  /** Ends it. Its snapshots stay. */
  stop?(): Promise<void>;
  readonly console?: MachineConsole;
  readonly screen?: MachineScreen;
  /** Writes into its memory, as its program could have done: the next save has it. */
  poke?(range: PeekRange, bytes: OwnedBytes): Promise<void>;
  /** Restores in another way than in place; also what is stopped. */
  restore?(snapshot: SnapshotId, mode: 'fresh' | 'lazy', options: WorkOptions): Promise<RestoreReport>;
  /** Of every processor, of one instant. */
  registers?(): Promise<readonly ProcessorRegisters[]>;
  /** The physical ranges of a virtual one, by its present page tables. */
  translate?(address: bigint, lengthBytes: number): Promise<readonly PeekRange[]>;
}

/** How to start a machine. A host refuses what its operator did not allow. */
export interface RunRequest {
  readonly name: string;
  /** One of the host's `profiles`; what it is made of is then not said. */
  readonly profile?: string | undefined;
  readonly memoryBytes?: number | undefined;
  /** Whether its kernel shall tell what memory is free. */
  readonly freePages?: boolean | undefined;
  /** What its guest may ask for by itself; nothing when left out. */
  readonly doorbell?: readonly ('save' | 'checkpoint' | 'reset')[] | undefined;
  readonly arguments?: readonly string[] | undefined;
}

/** How to adopt a machine that runs already. */
export interface AttachRequest {
  readonly name: string;
  /** Where its monitor listens, on the host. */
  readonly socket: string;
}

/** Bytes that wait, in order, outside this process's memory. */
export interface Spool {
  /** Throws `store-full`, and `wrong-state` after `close`. */
  write(bytes: OwnedBytes): Promise<void>;
  /** No more will be written. */
  end(): void;
  /** All that is written, from the first byte on, as it comes; for one reader. */
  parts(): AsyncIterable<OwnedBytes>;
  /** Gives its room back. May be called again. */
  close(): Promise<void>;
}

/** What was done with layers of disks. */
export interface DisksReport {
  readonly layersRemoved: number;
  /** Rows of layers that became one each. */
  readonly layersMerged: number;
}

export interface BridgeHost {
  /** For people and bug reports. */
  readonly software: { readonly name: string; readonly version: string };
  /** Over the store; every machine of the host is under it. */
  readonly engine: Vitrine;
  readonly store: Store;
  /** What machines may be made of, as the operator offers it: names for `RunRequest.profile`. */
  readonly profiles?: readonly string[];
  readonly jobs: Jobs;
  /** The recent past of machines, kept by the host; left out where none is. */
  readonly recordings?: Recordings;
  /** What guests asked for by themselves; left out where none can. */
  readonly bells?: BellBook;
  /** All machines, running or not. */
  machines(): readonly HostMachine[];
  /** The one of that name. */
  machine(name: string): HostMachine | undefined;
  /** Asked before anything is collected. Throws `busy` with who uses the store beside this host. */
  mayCollect?(): Promise<void>;
  /** Gives the room of disks back that no snapshot names: after the engine has collected. */
  collectDisks?(): Promise<DisksReport>;
  run?(request: RunRequest, options: WorkOptions): Promise<HostMachine>;
  attach?(request: AttachRequest, options: WorkOptions): Promise<HostMachine>;
  /**
   * Somewhere for bytes that are many and go out slowly. Without it a long peek keeps its machine from saves and restores until
   * its reader has the last byte.
   */
  openSpool?(): Promise<Spool>;
  /** The physical ranges of a virtual one in a snapshot, by the page tables in it. */
  translate?(snapshot: SnapshotId, address: bigint, lengthBytes: number): Promise<readonly PeekRange[]>;
  /** A new machine that goes on from a snapshot. */
  fork?(snapshot: SnapshotId, name: string, options: WorkOptions): Promise<HostMachine>;
}
