// A program that owns a machine and is killed in the middle of its work, at a step that it is told: a call of the monitor that is
// about to be made, or was made and not answered, or a write into RAM. Built and started by `kept-program.ts`.
//
//   argv: JSON of `OwnerTask`. It prints `ready` when the machine is there, `done` when the work ended before that step came.

import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { attachQemu } from '../../src/host/qemu/attach.ts';
import { adoptKeptMachine, findKeptMachines } from '../../src/host/qemu/kept-machine.ts';
import { provePageMap } from '../../src/host/qemu/page-map-proof.ts';
import { ProcessRam } from '../../src/host/qemu/process-ram.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import { openQemuMachine, QemuMachine, type QemuMachineOptions } from '../../src/host/qemu/qemu-machine.ts';
import { Qmp } from '../../src/host/qemu/qmp.ts';
import type { AnswerOf } from '../../src/host/qemu/qmp-commands.ts';
import { RamFile } from '../../src/host/qemu/ram-file.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';

export interface OwnerTask {
  readonly store: string;
  readonly root: string;
  /** Starts a machine, from `snapshot` where that is told, dying at `step` of that; without it, the one that is there is taken over. */
  readonly start?: { readonly profile: QemuProfile; readonly disks?: QemuMachineOptions['disks'] };
  /** Attaches the machine of others whose monitor listens there. */
  readonly attach?: string;
  /** What it does with the machine. */
  readonly work: 'nothing' | 'save' | 'save live' | 'restore' | 'reset' | 'quicken';
  readonly snapshot?: string;
  /** The step at which it dies; absent, it lives. */
  readonly step?: number;
  /** Whether a call of the monitor has been sent by then. */
  readonly isSent?: boolean;
  /** It dies when so many bytes of a stream were sent to it. */
  readonly sentBytes?: number;
  /** It dies so long after the monitor was told to send a stream, and hears of nothing in between. */
  readonly afterMigrateMs?: number;
}

const task = JSON.parse(process.argv[2]!) as OwnerTask;
const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
const store = await openFsStore(task.store);
const vitrine = await openEngine({ store, kernels, codecs });
if (task.start !== undefined) dieAtStep(task);
const machine = await open(vitrine);
process.stdout.write('ready\n');
if (task.work === 'reset') await machine.machine.checkpoint();
// What it has to prove first is no step of it.
if (task.work === 'save live') await machine.machine.save({ live: {} });
if (task.work === 'quicken' && machine instanceof QemuMachine)
  await provePageMap(machine.process.profile, task.root);
if (task.start === undefined) dieAtStep(task);
dieInStream(task);
await doWork(machine);
process.stdout.write('done\n');
// Until it is killed.
setInterval(() => {}, 1_000);

async function open(vitrine: Vitrine): Promise<Pick<QemuMachine, 'machine'>> {
  const { root, store: home } = task;
  if (task.attach !== undefined) return attachQemu('theirs', task.attach, vitrine, { root });
  if (task.start === undefined) {
    const [found] = await findKeptMachines(home, root);
    return adoptKeptMachine(found!, vitrine, { root });
  }
  const { profile, disks } = task.start;
  const options = {
    ...(disks && { disks }),
    ...(task.snapshot !== undefined && { snapshot: task.snapshot }),
  };
  const machine = await openQemuMachine('kept', profile, vitrine, { root, keptFor: home, ...options });
  await machine.start();
  return machine;
}

async function doWork(
  qemu: Pick<QemuMachine, 'machine'> & Partial<Pick<QemuMachine, 'quicken'>>,
): Promise<void> {
  const { machine } = qemu;
  if (task.work === 'quicken') await qemu.quicken?.();
  if (task.work === 'save') await machine.save();
  if (task.work === 'save live') await machine.save({ live: {} });
  if (task.work === 'restore') await machine.restore(task.snapshot!);
  if (task.work === 'reset') await machine.reset();
}

function dieInStream({ sentBytes = Number.POSITIVE_INFINITY, afterMigrateMs }: OwnerTask): void {
  const { execute } = Qmp.prototype;
  Qmp.prototype.execute = async function (this: Qmp, ...call: Parameters<typeof execute>) {
    const answering = execute.apply(this, call);
    if (call[0] === 'migrate' && afterMigrateMs !== undefined) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, afterMigrateMs);
      process.kill(process.pid, 'SIGKILL');
    }
    const answer: Partial<AnswerOf<'query-migrate'>> = (await answering) as object;
    if (
      call[0] === 'query-migrate' &&
      answer.status === 'active' &&
      (answer.ram?.transferred ?? 0) >= sentBytes
    )
      process.kill(process.pid, 'SIGKILL');
    return answer;
  } as typeof execute;
}

function dieAtStep({ step, isSent = false }: OwnerTask): void {
  if (step === undefined) return;
  let next = 0;
  const die = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  const { execute } = Qmp.prototype;
  Qmp.prototype.execute = function (this: Qmp, ...call: Parameters<typeof execute>) {
    const isIt = next++ === step;
    if (isIt && !isSent) die();
    const answer = execute.apply(this, call);
    if (isIt) die();
    return answer;
  } as typeof execute;
  for (const { prototype } of [RamFile, ProcessRam]) {
    const { write } = prototype;
    prototype.write = function (this: RamFile & ProcessRam, offsetBytes, from) {
      const isIt = next++ === step;
      // Half of it, where it is there to be cut.
      if (isIt) write.call(this, offsetBytes, from.subarray(0, from.length / 2));
      if (isIt) die();
      write.call(this, offsetBytes, from);
    };
  }
}
