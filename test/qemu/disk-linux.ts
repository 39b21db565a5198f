// Linux that writes numbered sectors to a disk, one after another, and says each on its serial line once it is on the disk: what
// it printed and what the disk holds can be compared from outside.

import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, vi } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import type { QemuProfile } from '../../src/host/qemu/profile.ts';
import type { SerialLine } from '../../src/host/qemu/serial-line.ts';
import { WRITE_LOOP } from './linux-work.ts';
import { ACCELERATOR } from './pulse-machine.ts';

const IMAGES = fileURLToPath(new URL('../../.guests/', import.meta.url));
const UNPACKED = join(IMAGES, 'apt/unpacked');
const BOOT_MS = 240_000;
export const SECTOR_BYTES = 512;

/** Drivers that are not in its RAM disk, by their places among the kernel's modules, in the order in which they are loaded. */
export const DISK_DRIVERS = ['drivers/block/virtio_blk.ko'];
export const NETWORK_DRIVERS = [
  'net/core/failover.ko',
  'drivers/net/net_failover.ko',
  'drivers/net/virtio_net.ko',
];

/** Linux with drivers more, which lie in `/`: a second archive is appended to its RAM disk, as the kernel allows. */
export function linuxWithDrivers(
  program: string,
  drivers: readonly string[],
): { readonly profile: QemuProfile; readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-linux-'));
  const image = readdirSync(UNPACKED).find((name) => name.startsWith('linux-image-'));
  if (image === undefined) throw new Error('the Linux guest is missing: run `npm run guests`');
  const modules = join(UNPACKED, image, 'lib/modules');
  const kernel = join(modules, readdirSync(modules)[0]!, 'kernel');
  const files = drivers.map((path) => ({ name: basename(path), data: readFileSync(join(kernel, path)) }));
  const initrd = join(folder, 'initrd');
  const first = readFileSync(join(IMAGES, 'initrd'));
  const gap = Buffer.alloc((4 - (first.length % 4)) % 4);
  writeFileSync(initrd, Buffer.concat([first, gap, archiveOf(files)]));
  const profile: QemuProfile = {
    program,
    accelerator: ACCELERATOR,
    memoryBytes: 64 * MIB,
    kernel: join(IMAGES, 'vmlinuz'),
    initrd,
    append: 'console=ttyS0 quiet mitigations=off random.trust_cpu=on nomodeset no_timer_check',
  };
  return { profile, folder };
}

/** What Linux printed, to be waited for. */
export class WriterLine {
  readonly #serial: Pick<SerialLine, 'onOutput' | 'write'>;
  #text = '';

  constructor(serial: Pick<SerialLine, 'onOutput' | 'write'>) {
    this.#serial = serial;
    serial.onOutput((bytes) => {
      this.#text += Buffer.from(bytes).toString('latin1');
    });
  }

  /** Boots to the shell and starts writing. */
  async startWriting(): Promise<void> {
    await this.#until(() => this.#text.includes('is up'));
    this.#serial.write('insmod /virtio_blk.ko; [ -b /dev/vda ] && echo disk-is""-there\n');
    await this.#until(() => this.#text.includes('disk-is-there'));
    this.#serial.write(`${WRITE_LOOP}\n`);
  }

  /** Numbers of the sectors it said it wrote. */
  get written(): number[] {
    expect(this.#text).not.toMatch(/WRONG \d/);
    return [...this.#text.matchAll(/wrote-(\d+)\./g)].map(([, number]) => Number(number));
  }

  async untilWritten(number: number): Promise<void> {
    await this.#until(() => this.written.includes(number));
  }

  /** So many more sectors than were written now. */
  async untilMore(count: number): Promise<void> {
    const before = this.written.length;
    await this.#until(() => this.written.length >= before + count);
  }

  forget(): void {
    this.#text = '';
  }

  async #until(condition: () => boolean): Promise<void> {
    await vi.waitUntil(condition, { timeout: BOOT_MS, interval: 10 });
  }
}

/** Files in the kernel's `newc` archive format. */
function archiveOf(files: readonly { readonly name: string; readonly data: Uint8Array }[]): Buffer {
  const entries = files.map(({ name, data }) => entryOf(name, 0o100644, data));
  return Buffer.concat([...entries, entryOf('TRAILER!!!', 0, new Uint8Array())]);
}

function entryOf(name: string, mode: number, data: Uint8Array): Buffer {
  const path = Buffer.from(`${name}\0`);
  const fields = [1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  const padding = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);
  return Buffer.concat([header, path, padding(header.length + path.length), data, padding(data.length)]);
}
