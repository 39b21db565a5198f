// The screen of a v86 guest, and what starts, stops and wakes the machine. Frames are compared as values; how they are
// drawn is the page's.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { PULSE, pulseRom } from '../../../src/guest/pulse/pulse.ts';
import { linesOf, type ScreenFrame, type V86Guest } from '../../../src/guest/v86/index.ts';
import {
  openProgram,
  openPulse,
  paused,
  restore,
  runPulse,
  save,
  sharedProgram,
  until,
  untilUp,
  wordAt,
} from './machines.ts';

// A PC takes its time on a busy host; nothing here waits for a clock.
vi.setConfig({ testTimeout: 60_000 });

const guests: V86Guest[] = [];
const keep = (guest: V86Guest) => {
  guests.push(guest);
  return guest;
};
afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.close();
});

// Sets 320 x 200 of 32 bits by the Bochs VBE ports, a word an index, and stops for good.
const GRAPHICS = [
  [0x4, 0x00], // disabled
  [0x1, 320],
  [0x2, 200],
  [0x3, 32],
  [0x4, 0x41], // enabled, linear frame buffer
].flatMap(([index, value]) => [
  ...[0xba, 0xce, 0x01, 0xb8, index! & 0xff, 0x00, 0xef], // mov dx,1ce; mov ax,index; out dx,ax
  ...[0xba, 0xcf, 0x01, 0xb8, value! & 0xff, value! >> 8, 0xef], // mov dx,1cf; mov ax,value; out dx,ax
]);
const GRAPHICS_PROGRAM = Uint8Array.from([...GRAPHICS, 0xeb, 0xfe]);

function textOf(frame: ScreenFrame | undefined): string {
  return frame?.kind === 'text' ? linesOf(frame).join('\n') : '';
}

describe('the screen of a v86 guest', () => {
  it('shows text, and nothing when nothing changed', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest);
    const frame = guest.screen!.takeFrame()!;
    expect(frame).toMatchObject({ kind: 'text', columns: 80, rows: 25, cursor: { visible: false } });
    expect(textOf(frame)).toContain('PULSE  a small machine');
    if (frame.kind !== 'text') return;
    const title = frame.codePoints.indexOf('P'.charCodeAt(0));
    expect(frame.foreground[title]).toBe(0xffffff);
    expect(frame.background[title]).toBe(0);
    expect([...frame.codePoints].filter((codePoint) => codePoint === 0x2588).length).toBe(256);
    expect(guest.screen!.takeFrame()).toBe(undefined);
    await runPulse(guest);
    expect(guest.screen!.takeFrame()).not.toBe(undefined);
  });

  it('shows what was restored', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest);
    guest.sendSerial(Uint8Array.from(Buffer.from('before')));
    await runPulse(guest);
    const saved = await save(guest);
    const shown = textOf(guest.screen!.takeFrame());
    expect(shown).toContain('> before ');
    guest.sendSerial(Uint8Array.from(Buffer.from('after')));
    await runPulse(guest, 64);
    expect(textOf(guest.screen!.takeFrame())).toContain('> beforeafter');
    for (const target of [guest, keep(await openPulse())]) {
      await restore(target, saved);
      expect(textOf(target.screen!.takeFrame())).toBe(shown);
    }
  });

  it('tells listeners of what was restored, though the machine stands still', async () => {
    const guest = keep(await openPulse());
    await runPulse(guest);
    const saved = await save(guest);
    const shown = textOf(guest.screen!.takeFrame());
    guest.sendSerial(Uint8Array.from(Buffer.from('later')));
    await runPulse(guest, 64);
    const frames: string[] = [];
    const leave = guest.screen!.onFrame((frame) => frames.push(textOf(frame)));
    await guest.pause();
    await until(() => frames.at(-1)?.includes('> later') === true, 'the last picture');
    await restore(guest, saved);
    await until(() => frames.at(-1) === shown, 'the picture that was saved');
    leave();
    await guest.resume();
  });

  it('tells listeners of frames until they leave, and can be cloned', async () => {
    const guest = keep(await openPulse());
    const frames: ScreenFrame[] = [];
    const leave = guest.screen!.onFrame((frame) => frames.push(structuredClone(frame)));
    await guest.start();
    await until(() => frames.some((frame) => textOf(frame).includes('MEMORY OK')), 'a frame');
    leave();
    const count = frames.length;
    await runPulse(guest, 64);
    expect(frames.length).toBe(count);
  });

  it.each(['private', 'shared'] as const)(
    'shows graphics from %s memory, drawn or restored',
    async (memory) => {
      const change = memory === 'shared' ? { wasm: await sharedProgram() } : {};
      const guest = keep(await openProgram(GRAPHICS_PROGRAM, 0, change));
      expect(guest.traits.sharedMemory).toBe(memory === 'shared');
      await guest.start();
      let frame: ScreenFrame | undefined;
      await until(() => {
        frame = guest.screen!.takeFrame();
        return frame?.kind === 'graphics';
      }, 'graphics');
      expect(frame).toMatchObject({ width: 320, height: 200 });
      const vram = guest.regions.find((region) => region.name === 'vga.vram')!;
      const at = 4 * (3 * 320 + 5);
      await paused(guest, () =>
        guest.writePages(
          { region: vram.id, offsetBytes: at, lengthBytes: 4 },
          Uint8Array.of(0x33, 0x22, 0x11, 0),
        ),
      );
      frame = guest.screen!.takeFrame();
      expect(frame?.kind === 'graphics' ? [...frame.rgba.subarray(at - 4, at + 8)] : []).toEqual([
        ...[0, 0, 0, 255],
        ...[0x11, 0x22, 0x33, 255],
        ...[0, 0, 0, 255],
      ]);
      const saved = await save(guest);
      const fresh = keep(await openProgram(GRAPHICS_PROGRAM, 0, change));
      await restore(fresh, saved);
      expect(fresh.screen!.takeFrame()).toEqual(frame);
    },
  );
});

describe('a v86 guest', () => {
  it('that its user stopped stays stopped through pauses, and one that runs goes on', async () => {
    const guest = keep(await openPulse());
    await guest.start();
    await untilUp(guest);
    await guest.stop();
    const ticks = await wordAt(guest, PULSE.ticks);
    guest.sendSerial(Uint8Array.of(0x61));
    for (let round = 0; round < 3; round++) expect(await wordAt(guest, PULSE.ticks)).toBe(ticks);
    expect(guest.isStarted).toBe(false);
    await guest.start();
    expect(guest.isStarted).toBe(true);
    await until(async () => (await wordAt(guest, PULSE.ticks)) > ticks, 'a tick');
  });

  it('runs nothing while paused, whatever wakes it', async () => {
    const guest = keep(await openPulse());
    await guest.start();
    await untilUp(guest);
    await guest.pause();
    const ram = Buffer.from(guest.view(0)!);
    guest.sendSerial(Uint8Array.from(Buffer.from('abc')));
    guest.sendKeys([0x1e, 0x9e]);
    await guest.start();
    // Turns of the event loop that a slice would have taken.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.compare(ram, guest.view(0)!)).toBe(0);
    await guest.resume();
    await until(async () => (await wordAt(guest, PULSE.keys)) === 4, 'the keys');
  });

  it('finds its images or says which it does not', async () => {
    const url = `data:application/octet-stream;base64,${Buffer.from(pulseRom()).toString('base64')}`;
    const guest = keep(await openPulse({ bios: { url } }));
    await runPulse(guest);
    await expect(openPulse({ bios: { url: 'http://127.0.0.1:9/none' } })).rejects.toMatchObject({
      code: 'not-found',
      data: { url: 'http://127.0.0.1:9/none' },
    });
  });
});
