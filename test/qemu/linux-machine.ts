// Debian's Linux in a real QEMU, with a shell on its serial line. The images come from `npm run guests`.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import type { SerialLine } from '../../src/host/qemu/serial-line.ts';
import { ACCELERATOR } from './pulse-machine.ts';
import { SerialShell } from './serial-shell.ts';

const IMAGES = new URL('../../.guests/', import.meta.url);
export const LINUX_TIMEOUT_MS = 240_000;

/**
 * A PC that boots it; 128 MiB are enough. On a busy host its timer comes late, which a kernel that checks it takes for a broken PC
 * (`no_timer_check`).
 */
export function linuxProfile(program: string, more: QemuProfile = {}): QemuProfile {
  return {
    program,
    accelerator: ACCELERATOR,
    memoryBytes: 128 * MIB,
    kernel: image('vmlinuz'),
    initrd: image('initrd'),
    append: 'console=ttyS0 quiet mitigations=off random.trust_cpu=on init_on_alloc=0 no_timer_check',
    ...more,
  };
}

/** The path of one of the images. */
export function image(name: string): string {
  const path = fileURLToPath(new URL(name, IMAGES));
  if (!existsSync(path)) throw new Error('the Linux guest is missing: run `npm run guests`');
  return path;
}

/** What is typed into the shell and what it answers. */
export class Shell extends SerialShell {
  constructor(serial: SerialLine) {
    // `expect.poll` waits in tests alone; machines also start in hooks.
    super(serial, (isSo) => vi.waitUntil(isSo, { timeout: LINUX_TIMEOUT_MS, interval: 20 }));
  }
}
