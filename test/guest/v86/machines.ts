// Machines for the tests of the v86 guest: Pulse, and programs of a few bytes as ROMs.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PULSE, PULSE_FACTS } from '../../../src/guest/pulse/pulse.ts';
import {
  compileV86,
  type OpenV86Options,
  openV86,
  pulseConfig,
  type V86Config,
  type V86Guest,
  type V86Program,
} from '../../../src/guest/v86/index.ts';

const ROM_BYTES = 65536;

let compiled: Promise<V86Program> | undefined;
let compiledSteps: Promise<V86Program> | undefined;
let compiledShared: Promise<V86Program> | undefined;

/** The bytes of v86's program as it is published. */
export function v86Bytes(): Uint8Array<ArrayBuffer> {
  const path = fileURLToPath(import.meta.resolve('v86')).replace('libv86.mjs', 'v86.wasm');
  return Uint8Array.from(readFileSync(path));
}

/** v86's program with marks, compiled once a test file. */
export async function v86Program(): Promise<V86Program> {
  compiled ??= compileV86(v86Bytes());
  return compiled;
}

/** As `v86Program`, for deterministic machines that are interpreted. */
export async function steppedProgram(): Promise<V86Program> {
  compiledSteps ??= compileV86(v86Bytes(), { steps: 'single' });
  return compiledSteps;
}

/** The program that a machine of this configuration needs. */
export async function programFor(change: Partial<V86Config>): Promise<V86Program> {
  return change.deterministic === true && change.compile !== true ? steppedProgram() : v86Program();
}

/** As `v86Program`, with shared memory. */
export async function sharedProgram(): Promise<V86Program> {
  compiledShared ??= compileV86(v86Bytes(), { memory: 'shared' });
  return compiledShared;
}

/** A machine with Pulse and little memory, so that copies of it are quick; not started. */
export async function openPulse(
  change: Partial<V86Config> = {},
  options: OpenV86Options = {},
): Promise<V86Guest> {
  return openV86(pulseConfig(await programFor(change), { memoryBytes: 4 << 20, ...change }), options);
}

/** A machine of 1 MiB whose ROM is `code` at f000:0000, entered at `entry`; not started. */
export async function openProgram(
  code: Uint8Array,
  entry = 0,
  change: Partial<V86Config> = {},
  options: OpenV86Options = {},
): Promise<V86Guest> {
  const rom = new Uint8Array(ROM_BYTES).fill(0xff);
  rom.set(code);
  rom.set([0xea, entry & 0xff, entry >> 8, 0x00, 0xf0], 0xfff0);
  return openV86(
    { wasm: await programFor(change), memoryBytes: 1 << 20, bios: { bytes: rom }, ...change },
    options,
  );
}

/** Runs `work` while the guest is paused. */
export async function paused<T>(guest: V86Guest, work: () => T | Promise<T>): Promise<T> {
  await guest.pause();
  try {
    return await work();
  } finally {
    await guest.resume();
  }
}

/** A little-endian word of RAM. The guest is paused for it. */
export function wordAt(guest: V86Guest, address: number): Promise<number> {
  return paused(guest, () => {
    const bytes = guest.view(0)!.slice(address, address + 4);
    return new DataView(bytes.buffer).getUint32(0, true);
  });
}

/** Writes bytes into RAM. The guest is paused for it. */
export function poke(guest: V86Guest, address: number, bytes: Iterable<number>): Promise<void> {
  return paused(guest, () => {
    const from = Uint8Array.from(bytes);
    guest.writePages({ region: 0, offsetBytes: address, lengthBytes: from.length }, from);
  });
}

/** Lets a started guest run until the condition holds. The guest gets its turns between the questions. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Waits for a started Pulse to be up. */
export async function untilUp(guest: V86Guest): Promise<void> {
  await until(async () => (await wordAt(guest, PULSE.magic)) === PULSE_FACTS.magic, 'Pulse to start');
}

/** Lets a stopped or started Pulse write pages up to the next multiple of `step`, and stops it. Returns the multiple. */
export async function runPulse(guest: V86Guest, step = 16): Promise<number> {
  const from = await wordAt(guest, PULSE.loops);
  const goal = (Math.floor(from / step) + 1) * step;
  await guest.start();
  await until(async () => (await wordAt(guest, PULSE.loops)) >= goal, `${goal} pages`);
  await guest.stop();
  return goal;
}

export interface Saved {
  readonly memory: readonly Uint8Array[];
  readonly devices: ReturnType<V86Guest['saveDevices']>;
}

/** A copy of all of the guest. */
export function save(guest: V86Guest): Promise<Saved> {
  return paused(guest, () => ({
    memory: guest.regions.map((region) => guest.view(region.id)!.slice()),
    devices: guest.saveDevices(),
  }));
}

/** Puts the copy back, page by page where they differ. */
export function restore(guest: V86Guest, saved: Saved): Promise<void> {
  return paused(guest, () => {
    for (const { id, sizeBytes, pageBytes } of guest.regions) {
      for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += pageBytes) {
        const lengthBytes = Math.min(pageBytes, sizeBytes - offsetBytes);
        const page = saved.memory[id]!.subarray(offsetBytes, offsetBytes + lengthBytes);
        const present = guest.view(id)!.subarray(offsetBytes, offsetBytes + lengthBytes);
        if (Buffer.compare(page, present) !== 0)
          guest.writePages({ region: id, offsetBytes, lengthBytes }, page);
      }
    }
    guest.loadDevices(saved.devices);
  });
}

/** Where two copies differ first, or `none`. */
export function difference(a: Saved, b: Saved): string {
  for (const [region, bytes] of a.memory.entries()) {
    if (Buffer.compare(bytes, b.memory[region]!) === 0) continue;
    return `region ${region} at ${bytes.findIndex((byte, at) => byte !== b.memory[region]![at])}`;
  }
  for (const [index, { name, bytes }] of a.devices.entries()) {
    const other = b.devices[index];
    if (other === undefined || other.name !== name) return `record ${name} and ${other?.name}`;
    if (Buffer.compare(bytes, other.bytes) === 0) continue;
    return `record ${name} at ${bytes.findIndex((byte, at) => byte !== other.bytes[at])}`;
  }
  return a.devices.length === b.devices.length ? 'none' : 'number of records';
}
