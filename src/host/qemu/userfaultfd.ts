// Whether QEMU may serve page faults by itself (userfaultfd), as it does for lazy machines and for background snapshots. Linux leaves
// that to root, unless it is told otherwise. QEMU says no more than that it may not: here is why, and who may change it.

import { accessSync, constants, readFileSync } from 'node:fs';

/** Faults of the kernel too are served, which an ordinary user may not, and `UFFD_USER_MODE_ONLY` is not what QEMU asks for. */
const CAP_SYS_PTRACE = 1n << 19n;
const ALLOWED = '/proc/sys/vm/unprivileged_userfaultfd';
/** QEMU 8.0 and later take it where they may open it. */
const DEVICE = '/dev/userfaultfd';

/** What to do where this user may not. */
export const USERFAULTFD_HINT =
  'Run as root, or let all users: sysctl vm.unprivileged_userfaultfd=1. QEMU 8.0 and later also take /dev/userfaultfd from who may open it.';

/** What is read to know; for tests. */
export interface UserfaultfdFacts {
  /** `/proc/self/status`. */
  readonly status: string;
  /** What stands in the kernel's switch; undefined where there is none. */
  readonly allowed: string | undefined;
  readonly hasDevice: boolean;
}

/** Why it may not, in words; undefined where nothing is known against it. */
export function whyNoUserfaultfd(facts: UserfaultfdFacts = factsHere()): string | undefined {
  const [, effective] = /^CapEff:\s*([0-9a-f]+)/m.exec(facts.status) ?? [];
  if (effective !== undefined && (BigInt(`0x${effective}`) & CAP_SYS_PTRACE) !== 0n) return undefined;
  if (facts.hasDevice) return undefined;
  if (facts.allowed === undefined) return 'this kernel gives no userfaultfd';
  return facts.allowed.trim() === '0'
    ? 'vm.unprivileged_userfaultfd is 0, and this user is not root'
    : undefined;
}

function factsHere(): UserfaultfdFacts {
  return { status: textOf('/proc/self/status') ?? '', allowed: textOf(ALLOWED), hasDevice: canOpen(DEVICE) };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
