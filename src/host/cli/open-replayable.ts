// A machine that a snapshot can be replayed in, by what the snapshot says it is of. Where that cannot be told, it says why.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import type { Manifest } from '../../format/manifest.ts';
import { FlatGuest } from '../../guest/flat.ts';
import type { Guest } from '../../guest/guest.ts';
import { linuxConfig, openV86, pulseConfig } from '../../guest/v86/index.ts';

/** Throws `unsupported` with the reason when there is none here; the engine compares its description with the snapshot's. */
export async function openReplayable(manifest: Manifest, images: string | undefined): Promise<Guest> {
  const { kind, config } = manifest.machine;
  if (kind === 'flat') {
    const regions = manifest.regions.map(({ name, kind, guestAddress, sizeBytes, pageBytes }) => ({
      name,
      kind,
      guestAddress,
      pageBytes,
      bytes: new Uint8Array(sizeBytes),
    }));
    return new FlatGuest({ regions });
  }
  if (kind === 'rp2040') {
    // Its program is in the snapshot's flash.
    const flashBytes = Number(config.flashBytes);
    const { openRp2040 } = await loadRp2040();
    return openRp2040({ firmware: new Uint8Array(0), flashBytes, memory: 'private' }).guest;
  }
  if (kind !== 'v86') throw new VitrineError('unsupported', { missing: `a replay of ${kind}` });
  const wasm = { bytes: await readV86() };
  const change = {
    deterministic: true,
    memoryBytes: Number(config.memoryBytes),
    vgaMemoryBytes: Number(config.vgaMemoryBytes),
    acpi: config.acpi === true,
  };
  // Pulse is its own firmware; Linux comes with a BIOS for its screen.
  if (config.vgaBiosBytes === 0) return openV86(pulseConfig(wasm, change));
  if (images === undefined)
    throw new VitrineError('unsupported', { missing: '--images, where its kernel is' });
  const image = async (name: string) => ({ bytes: new Uint8Array(await readFile(join(images, name))) });
  const [bios, vgaBios, kernel, initrd] = await Promise.all(
    ['bios', 'vgabios', 'vmlinuz', 'initrd'].map(image),
  );
  return openV86(
    linuxConfig(wasm, { bios: bios!, vgaBios: vgaBios!, kernel: kernel!, initrd: initrd! }, change),
  );
}

/** The package of that machine is installed beside this one only by who uses it. */
async function loadRp2040(): Promise<typeof import('../../guest/rp2040/index.ts')> {
  try {
    return await import('../../guest/rp2040/index.ts');
  } catch (cause) {
    throw new VitrineError('unsupported', { missing: 'the package rp2040js' }, { cause });
  }
}

/** v86's program, from the package that is installed beside this one. */
async function readV86(): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const path = createRequire(import.meta.url).resolve('v86/build/v86.wasm');
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new VitrineError('unsupported', { missing: 'the package v86' }, { cause });
  }
}
