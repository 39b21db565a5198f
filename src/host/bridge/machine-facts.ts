// What is told of a machine beside what its process says: what it was made of, and what waits for it.

import type { MachineFacts } from '../../bridge/host.ts';
import { countLazySpares, type LazyMachineOptions } from '../qemu/lazy-machine.ts';
import { knownLiveOf } from '../qemu/live-proof.ts';
import type { QemuProcess } from '../qemu/process.ts';
import type { QemuProfile } from '../qemu/profile.ts';
import type { QemuGuest } from '../qemu/qemu-guest.ts';
import type { QemuMachineStatus } from '../qemu/qemu-machine.ts';
import type { SpareProcesses } from '../qemu/spare-processes.ts';
import type { MachineRecipe } from './qemu-arguments.ts';

/** What it was asked to be made of; what was left out is not in it. */
export function recipeFacts(recipe: MachineRecipe): MachineFacts {
  const { profile, disks } = recipe;
  const { memoryBytes, machine, cpus, accelerator, args } = profile;
  const files = disks.map(({ name, file }) => `${name} ${file}`).join(', ') || undefined;
  const asked = { memoryBytes, machine, cpus, accelerator, arguments: args?.join(' '), disks: files };
  const known = Object.entries(asked).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value]],
  );
  return { ...(Object.fromEntries(known) as MachineFacts), ...becauseOf(recipe) };
}

/** Why it has its accelerator, where that was chosen. */
export function becauseOf({ acceleratorBecause }: MachineRecipe): MachineFacts {
  return acceleratorBecause === undefined ? {} : { acceleratorBecause };
}

/** How many processes wait for its next lazy restore, where some do. */
export async function spareFacts(
  spares: SpareProcesses | undefined,
  profile: QemuProfile,
  options: Pick<LazyMachineOptions, 'disks' | 'root'>,
): Promise<MachineFacts> {
  const spareProcesses = spares === undefined ? 0 : await countLazySpares(spares, profile, options);
  return spareProcesses === 0 ? {} : { spareProcesses };
}

/** Of a machine with a doorbell: what its guest may ask for, and how often it did. */
export function bellFacts({ doorbell: words }: MachineRecipe, { doorbell }: QemuGuest): MachineFacts {
  if (doorbell === undefined) return {};
  const { rings, saves, resets, refused } = doorbell.counts;
  const allowed = words?.join(', ') ?? 'nobody serves it';
  return { doorbell: allowed, bellRings: rings, bellSaves: saves, bellResets: resets, bellRefused: refused };
}

/** How it would be saved while it runs. */
export function liveFacts(process: QemuProcess): MachineFacts {
  const known = knownLiveOf(process);
  if (known === undefined)
    return { savedLiveBy: 'not known yet', savedLiveByBecause: 'the first save while it runs tries it' };
  // Of the way itself it need not be said again.
  const because = known.because.replace(`${known.method}: `, '');
  return { savedLiveBy: known.method ?? 'a rest', savedLiveByBecause: because };
}

/** What its process says of itself. */
export function statusFacts(status: QemuMachineStatus): MachineFacts {
  return {
    qemu: status.version,
    qemuState: status.state,
    pid: status.pid,
    machine: status.machine,
    accelerator: status.accelerator,
    cpus: status.cpus,
    memoryBytes: status.memoryBytes,
    usedMemoryBytes: status.usedMemoryBytes,
    ...(status.freePages === null ? {} : { freePages: status.freePages }),
    savedBy: status.save.by,
    savedByBecause: status.save.because,
    restoresInPlace: status.restore.works,
    restoresInPlaceBecause: status.restore.because,
    ...(status.said === '' ? {} : { said: status.said.slice(-1_024) }),
  };
}
