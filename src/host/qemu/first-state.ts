// What a machine is known to hold when it is opened, and when it may be asked at all.
//
// A process with KVM that has not run yet must not be asked for a state that was loaded into it: QEMU 7.2 and 10.0 then put in place of
// the kvmclock that was loaded the one of the kernel, which counts from when that process began. The guest's time would go back
// to there when it runs. What it holds is what was loaded; once it ran and was stopped, its clock rests with it.

import type { LoadedState } from './clone-ram.ts';
import { sectionName } from './device-records.ts';
import { withoutPast } from './guest-clock.ts';
import type { QemuProcess } from './process.ts';
import type { BlockPages, StateTransfer } from './state-transfer.ts';
import type { DeviceSection, ParsedStream } from './stream/index.ts';

/** QEMU's own note of whether the machine ran: it comes and goes, and says nothing of the machine. */
const NOT_A_DEVICE = 'globalstate';
/** Says whether firmware had QEMU build the ACPI tables. */
const TABLES_SECTION = 'acpi_build';

/** What is asked of a process beside its state; what it says on standard error, since some reasons stand nowhere else. */
export type Speech = Pick<QemuProcess, 'saidBytes' | 'saidSince' | 'hasRun' | 'profile'>;

/** What a machine consists of, with what that holds. */
export interface FirstState {
  readonly sections: readonly DeviceSection[];
  readonly blocks: readonly BlockPages[];
}

/**
 * Learns it from what was loaded into the machine, where that is known and still so, or asks for it. The machine is at rest. Throws
 * `guest-failed` with the device that cannot be saved.
 */
export async function firstState(
  transfer: StateTransfer,
  speech: Speech,
  loaded: LoadedState | undefined,
): Promise<FirstState> {
  const known = loaded && (await knownState(transfer, speech, loaded));
  if (known !== undefined) return known;
  const { stream, blocks } = await transfer.saveWhole();
  return { sections: devicesOf(stream), blocks };
}

/** Undefined when it has other devices than what was loaded into it, or its firmware ran since. */
async function knownState(
  transfer: StateTransfer,
  speech: Speech,
  loaded: LoadedState,
): Promise<FirstState | undefined> {
  // Addresses are compared for shared memory alone, and a clone has none.
  const blocks = loaded.blocks.map((block) => ({ ...block, gpa: 0 }));
  if (mustNotAsk(speech)) return { sections: loaded.sections, blocks };
  const sections = devicesOf(await transfer.saveSections());
  const names = (of: readonly DeviceSection[]): string => of.map(sectionName).join(' ');
  if (names(sections) !== names(loaded.sections)) return undefined;
  if (!sameBytes(builtBy(sections), builtBy(loaded.sections))) return undefined;
  return { sections, blocks };
}

/** Whether asking would change what was loaded: see the head of this file. */
export function mustNotAsk({ profile, hasRun }: Speech): boolean {
  return profile.accelerator === 'kvm' && !hasRun;
}

/** The devices of a stream that a machine gave, as one without a past has them. */
export function devicesOf({ sections }: ParsedStream): DeviceSection[] {
  return withoutPast(sections.filter(({ name }) => name !== NOT_A_DEVICE));
}

/** What tells whether firmware had ACPI tables built; empty for a machine without. */
export function builtBy(sections: readonly DeviceSection[]): Uint8Array {
  return sections.find(({ name }) => name === TABLES_SECTION)?.body ?? new Uint8Array(0);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
