// Streams between Vitrine and a real QEMU: what it writes is read, what is written is loaded, and the program in the machine
// goes on from the exact value that it had.

import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { vmstateImage } from '../../src/host/qemu/qcow2.ts';
import { type ParsedStream, type StreamPage, synthesizeStream } from '../../src/host/qemu/stream/index.ts';
import { read, whole } from '../host/qemu/read-stream.ts';
import {
  isRecorded,
  RECORDINGS,
  type Recording,
  readRecording,
  recordingOf,
  startRecorded,
  streamOf,
  writeRecording,
} from '../host/qemu/recordings.ts';
import { expectSame } from '../support/same.ts';
import { type BareQemu, isPulseWhole, qemuPrograms } from './bare-qemu.ts';

const LOOPS = 8;
const PROGRAMS = qemuPrograms();
if (PROGRAMS.size === 0) throw new Error('these tests need QEMU: test/setup/qemu.mjs says how to get it');

describe.each(RECORDINGS)('$name', (recording) => {
  const program = PROGRAMS.get(recording.qemu);

  // A version that is not on this machine cannot be asked.
  it.skipIf(program === undefined)('is what QEMU writes still', async () => {
    const stream = await record(program!, recording);
    if (process.env.WRITE_FIXTURES === '1' && !isRecorded(recording.name)) {
      await writeRecording(recording.name, stream);
    }
    const now = await read(whole(stream));
    const then = await read(whole(await readRecording(recording.name)));
    expect(shapeOf(now.parsed)).toEqual(shapeOf(then.parsed));
  });
});

async function record(program: string, recording: Recording): Promise<Uint8Array<ArrayBuffer>> {
  const qemu = await startRecorded(program, recording);
  try {
    await qemu.runPulse(LOOPS);
    return await streamOf(qemu, recording);
  } finally {
    await qemu.close();
  }
}

describe.each([...PROGRAMS])('a synthesized stream in QEMU %s', (version, program) => {
  it.each([
    { from: 'pc-7.2' },
    // A machine of a newer QEMU is not known to an older one.
    ...(version === '7.2' ? [] : [{ from: 'q35-10.0' }]),
  ])('starts a fresh process from $from', async ({ from }) => {
    const recording = recordingOf(from);
    const before = await read(whole(await readRecording(from)));
    const qemu = await startRecorded(program, recording, ['-incoming', 'defer']);
    try {
      await migrateInto(qemu, synthesizeStream({ ...before.parsed, pages: before.pages }));
      await expectSameRam(qemu, before);
      await expectGoesOn(qemu, before);
    } finally {
      await qemu.close();
    }
  });

  it('takes a machine that runs back, with all pages or those that differ', async () => {
    const from = version === '7.2' ? 'pc-7.2' : 'q35-10.0';
    const before = await read(whole(await readRecording(from)));
    const qemu = await startRecorded(program, recordingOf(from));
    try {
      await qemu.runPulse(20 * LOOPS);
      await qemu.loadSnapshot(stateOf(before.parsed, before.pages), 'back');
      await expectSameRam(qemu, before);
      await expectGoesOn(qemu, before);
      const differing = await differingPages(qemu, before);
      expect(differing.length).toBeGreaterThan(0);
      expect(differing.length).toBeLessThan(before.pages.length);
      await qemu.loadSnapshot(stateOf(before.parsed, differing), 'back');
      await expectSameRam(qemu, before);
      await expectGoesOn(qemu, before);
    } finally {
      await qemu.close();
    }
  });

  it('of devices alone takes a machine back whose RAM was written by others', async () => {
    const recording = version === '7.2' ? recordingOf('q35-7.2-devices') : recordingOf('pc-10.0-shared');
    const { machineType } = recording;
    const qemu = await startRecorded(program, recording);
    const file = join(qemu.folder, 'ram');
    try {
      await qemu.runPulse(LOOPS);
      const { parsed } = await read(whole(await streamOf(qemu, { ...recording, way: 'xen-save' })));
      const ram = await readFile(file);
      await qemu.runPulse(20 * LOOPS);
      // In place: QEMU has the file mapped.
      await writeFile(file, ram, { flag: 'r+' });
      const capabilities = recording.capabilities;
      const state = vmstateImage(
        synthesizeStream({ machineType, capabilities, sections: parsed.sections }),
        'back',
      );
      await qemu.loadSnapshot(state, 'back');
      expect(Buffer.compare(await qemu.memory(0, 0xa0000), ram.subarray(0, 0xa0000))).toBe(0);
      await qemu.runPulse(wordOf(ram, PULSE.loops) + PULSE_FACTS.pageCount);
      expect(await isPulseWhole(qemu)).toBe(true);
    } finally {
      await qemu.close();
    }
  });
});

type Read = Awaited<ReturnType<typeof read>>;

function stateOf(parsed: ParsedStream, pages: Iterable<StreamPage>): Uint8Array {
  return vmstateImage(synthesizeStream({ ...parsed, pages }), 'back');
}

/** Sends a stream to a process that waits for one. */
async function migrateInto(qemu: BareQemu, stream: readonly Uint8Array[]): Promise<void> {
  const path = join(qemu.folder, 'source');
  await qemu.call('migrate-incoming', { uri: `unix:${path}` });
  const socket = connect(path);
  for (const chunk of stream) socket.write(chunk);
  socket.end();
  await qemu.untilMigrated();
}

/** The RAM that a stream tells; what it does not tell is zero. */
function ramOf({ parsed, pages }: Read): Uint8Array {
  const index = parsed.blocks.findIndex(({ name }) => name === 'pc.ram');
  const ram = new Uint8Array(parsed.blocks[index]!.usedBytes);
  for (const { block, offset, bytes } of pages) {
    if (block !== index) continue;
    if (typeof bytes === 'number') ram.fill(bytes, offset, offset + 4096);
    else ram.set(bytes, offset);
  }
  return ram;
}

/** Below video memory, and above the ROMs: there RAM is what the guest sees. */
const SEEN = [
  { from: 0, to: 0xa_0000 },
  { from: 0x10_0000, to: 0x40_0000 },
] as const;

async function expectSameRam(qemu: BareQemu, before: Read): Promise<void> {
  const ram = ramOf(before);
  for (const { from, to } of SEEN) expectSame(await qemu.memory(from, to - from), ram.subarray(from, to));
}

async function differingPages(qemu: BareQemu, before: Read): Promise<StreamPage[]> {
  const ram = ramOf(before);
  const block = before.parsed.blocks.findIndex(({ name }) => name === 'pc.ram');
  const pages: StreamPage[] = [];
  for (const { from, to } of SEEN) {
    const now = await qemu.memory(from, to - from);
    for (let offset = from; offset < to; offset += 4096) {
      const bytes = ram.subarray(offset, offset + 4096);
      if (Buffer.compare(now.subarray(offset - from, offset - from + 4096), bytes) !== 0) {
        pages.push({ block, offset, bytes });
      }
    }
  }
  return pages;
}

/** Runs on for a round, in which Pulse sums each page that was loaded. */
async function expectGoesOn(qemu: BareQemu, before: Read): Promise<void> {
  const ram = ramOf(before);
  await qemu.runPulse(wordOf(ram, PULSE.loops) + PULSE_FACTS.pageCount);
  expect(await isPulseWhole(qemu)).toBe(true);
  expect(qemu.stderr).not.toMatch(/inconsistent|error/i);
}

function wordOf(ram: Uint8Array, address: number): number {
  return new DataView(ram.buffer, ram.byteOffset).getUint32(address, true);
}

function shapeOf({ vmdesc: _, sections, pageCount: __, ...rest }: ParsedStream): unknown {
  return {
    ...rest,
    sections: sections.map(({ body, ...section }) => ({ ...section, lengthBytes: body.length })),
  };
}
