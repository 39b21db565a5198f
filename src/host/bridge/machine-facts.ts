// What is told of a machine beside what its process says: what it was made of, and what waits for it.

import type { MachineFacts } from '../../bridge/host.ts';
import { countLazySpares, type LazyMachineOptions } from '../qemu/lazy-machine.ts';
import type { QemuProfile } from '../qemu/profile.ts';
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
