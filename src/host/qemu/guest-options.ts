// What a machine's guest is opened with, and what of a process it needs.

import type { DeviceRecord } from '../../guest/guest.ts';
import type { CloneOrigin } from './clone-ram.ts';
import type { DeviceStateOptions } from './device-state.ts';
import type { Disks } from './disks.ts';
import type { LiveVerdict } from './live-proof.ts';
import type { QemuProcess } from './process.ts';
import type { Ram } from './process-ram.ts';
import type { RunIntent } from './run-intent.ts';
import type { Verdict } from './self-test.ts';

export interface QemuGuestOptions extends DeviceStateOptions {
  /** How its state may be streamed while it runs, asked when that is first wanted; never, when left out. */
  readonly live?: () => Promise<LiveVerdict>;
  /** Disks that are saved with it. */
  readonly disks?: Disks | undefined;
  /** Where what its owner means to do with it is kept, for a machine that may outlive its owner. */
  readonly intent?: RunIntent | undefined;
  /** `private` where RAM is no file that is shared with us, `monitor` where the process may not be looked into; or `file`. */
  readonly ram?: 'file' | 'private' | 'monitor';
  /** What was seen of soft-dirty bits with this QEMU; they are tried when left out. */
  readonly marksProof?: Verdict | undefined;
  /** With `private`: what it was cloned from, where the kernel was proven to tell what it wrote since. */
  readonly origin?: CloneOrigin | undefined;
}

/** The process of a machine, as its guest needs it: one of ours, or one that others started. */
export type QemuHost = Pick<
  QemuProcess,
  'qmp' | 'profile' | 'files' | 'pid' | 'saidBytes' | 'saidSince' | 'close' | 'bell' | 'hasRun'
>;

/** What there is of a machine at rest, for a process that takes its place. */
export interface GuestAtRest {
  readonly records: readonly DeviceRecord[];
  readonly ram: Ram;
}

/** Nobody has tried whether its state may be streamed while it runs. */
export const UNPROVEN = async (): Promise<LiveVerdict> => ({ because: 'nobody has proven a way for it' });
