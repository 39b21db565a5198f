// Which accelerator a machine gets whose operator did not say: KVM where it was seen to do all that a machine needs, and QEMU's own
// translation (TCG) where not, with the reason.
//
//   /dev/kvm may be opened ─▶ an operating system could boot (`boot-trial.ts`) ─▶ state goes out and in (`self-test.ts`) ─▶ kvm

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isVitrineError } from '../../base/error.ts';
import { tryBoot } from './boot-trial.ts';
import { type QemuProfile, resolveProfile } from './profile.ts';
import { selfTest } from './self-test.ts';

const DEVICE = '/dev/kvm';
/** Of what QEMU says: its reason comes last. */
const MAX_TOLD = 200;

export interface AcceleratorChoice {
  readonly accelerator: 'tcg' | 'kvm';
  /** For people. */
  readonly because: string;
}

export interface ChooseOptions {
  /** Where machines that are tried have their run directories. */
  readonly root?: string | undefined;
  /** The device; `/dev/kvm` when left out. */
  readonly device?: string;
}

/**
 * Chooses for a profile; one that names an accelerator gets that. What is tried is tried once a process: some tenths of a second. Throws
 * `argument-invalid` for a profile that is none, and what starting a machine throws but for reasons of KVM's.
 */
export async function chooseAccelerator(
  profile: QemuProfile,
  { root, device = DEVICE }: ChooseOptions = {},
): Promise<AcceleratorChoice> {
  const { program } = resolveProfile(profile);
  if (profile.accelerator === 'tcg') return { accelerator: 'tcg', because: 'it was asked for' };
  const fault = await kvmFault(program, device, root);
  if (profile.accelerator === 'kvm') {
    return { accelerator: 'kvm', because: `it was asked for${fault === undefined ? '' : `; ${fault}`}` };
  }
  if (fault !== undefined) return { accelerator: 'tcg', because: fault };
  return { accelerator: 'kvm', because: 'a machine with it came up in long mode, was saved and put back' };
}

/** Why KVM does not serve here; undefined where it was seen to. */
async function kvmFault(
  program: string,
  device: string,
  root: string | undefined,
): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return `no KVM: there is no ${device}`;
    return `no KVM: ${device} may not be opened (${code}), as by who is of its group`;
  }
  const tried = { program, accelerator: 'kvm' } as const;
  try {
    const boot = await tryBoot(tried, root);
    if (!boot.works) return `KVM boots no operating system here: ${boot.because}`;
    const { inPlace, quickSave } = await selfTest(tried, root);
    const failed = [inPlace, quickSave].find(({ works }) => !works);
    return failed && `KVM failed its self-test: ${failed.because}`;
  } catch (error) {
    if (!isVitrineError(error, 'guest-start')) throw error;
    const said = String(error.data.said ?? '').replaceAll(/\s+/g, ' ');
    return `QEMU starts no machine with KVM: ${said.slice(-MAX_TOLD)}`;
  }
}
