// Streams that QEMU wrote, kept as files: what each machine is, how it is recorded, and how a recording is read.
//
// To record one anew: delete its file, `WRITE_FIXTURES=1 npx vitest run --project qemu test/qemu/stream.test.ts`.

import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { BareQemu } from '../../qemu/bare-qemu.ts';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'streams');

export interface Recording {
  readonly name: string;
  /** The version of QEMU that writes it. */
  readonly qemu: string;
  readonly machineType: string;
  readonly way: 'migrate' | 'xen-save';
  readonly capabilities: readonly string[];
  readonly args: (folder: string) => readonly string[];
}

const MEMORY_MIB = 4;

/** RAM that another process sees, as `x-ignore-shared` wants it. */
export function sharedRam(machineType: string, folder: string): readonly string[] {
  const ram = `memory-backend-file,id=pc.ram,size=${MEMORY_MIB}M,mem-path=${join(folder, 'ram')},share=on`;
  const machine = `${machineType},memory-backend=pc.ram`;
  return ['-object', ram, '-machine', machine, '-m', `${MEMORY_MIB}`];
}

export function ownRam(machineType: string): readonly string[] {
  return ['-machine', machineType, '-m', `${MEMORY_MIB}`];
}

/** What makes sections long, nested and many. */
const DEVICES = [
  ['-blockdev', 'driver=null-co,node-name=disk,size=1048576,read-zeroes=on'],
  ['-device', 'virtio-blk-pci,drive=disk'],
  ['-device', 'virtio-serial-pci'],
].flat();

export const RECORDINGS: readonly Recording[] = [
  {
    name: 'pc-7.2',
    qemu: '7.2',
    machineType: 'pc-i440fx-7.2',
    way: 'migrate',
    capabilities: [],
    args: () => [...ownRam('pc-i440fx-7.2'), '-device', 'VGA,vgamem_mb=1'],
  },
  {
    name: 'q35-7.2-shared',
    qemu: '7.2',
    machineType: 'pc-q35-7.2',
    way: 'migrate',
    capabilities: ['x-ignore-shared'],
    args: (folder) => [...sharedRam('pc-q35-7.2', folder), ...DEVICES],
  },
  {
    name: 'q35-7.2-devices',
    qemu: '7.2',
    machineType: 'pc-q35-7.2',
    way: 'xen-save',
    capabilities: [],
    args: (folder) => [...sharedRam('pc-q35-7.2', folder), ...DEVICES],
  },
  {
    name: 'q35-10.0',
    qemu: '10.0',
    machineType: 'pc-q35-10.0',
    way: 'migrate',
    capabilities: [],
    args: () => [...ownRam('pc-q35-10.0'), ...DEVICES],
  },
  {
    name: 'pc-10.0-shared',
    qemu: '10.0',
    machineType: 'pc-i440fx-10.0',
    way: 'migrate',
    capabilities: ['x-ignore-shared'],
    args: (folder) => [...sharedRam('pc-i440fx-10.0', folder), ...DEVICES],
  },
];

export function recordingOf(name: string): Recording {
  const found = RECORDINGS.find((recording) => recording.name === name);
  if (found === undefined) throw new Error(`no recording ${name}`);
  return found;
}

/** The bytes of a recorded stream. */
export async function readRecording(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(gunzipSync(await readFile(pathOf(name))));
}

export function isRecorded(name: string): boolean {
  return existsSync(pathOf(name));
}

export async function writeRecording(name: string, bytes: Uint8Array): Promise<void> {
  await writeFile(pathOf(name), gzipSync(bytes, { level: 9 }));
}

/** Starts the machine of a recording; it is not running yet. */
export async function startRecorded(
  program: string,
  recording: Recording,
  more: readonly string[] = [],
): Promise<BareQemu> {
  const qemu = await BareQemu.startPulse(program, (folder) => ['-S', ...recording.args(folder), ...more]);
  const capabilities = recording.capabilities.map((capability) => ({ capability, state: true }));
  if (capabilities.length > 0) await qemu.call('migrate-set-capabilities', { capabilities });
  return qemu;
}

/** What the stopped machine says of itself. */
export async function streamOf(qemu: BareQemu, recording: Recording): Promise<Uint8Array<ArrayBuffer>> {
  const filename = join(qemu.folder, 'stream');
  if (recording.way === 'xen-save') await qemu.call('xen-save-devices-state', { filename, live: false });
  else await qemu.migrate(`exec:cat > '${filename}'`);
  return new Uint8Array(await readFile(filename));
}

function pathOf(name: string): string {
  return join(FOLDER, `${name}.gz`);
}
