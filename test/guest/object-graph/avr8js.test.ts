// An emulator of somebody else's by its objects alone, ten lines of adapter: an ATmega328P by avr8js, whose timer's callbacks
// wait in a linked list made while it runs, and whose memory is compared since nothing tells of its writes. And what such an
// adapter cannot do: avr8js's serial line makes a function for each character.

import { AVRTimer, AVRUSART, avrInstruction, CPU, timer0Config, usart0Config } from 'avr8js';
import { describe, expect, it } from 'vitest';
import { objectGraphGuest } from '../../../src/guest/object-graph/object-graph-guest.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { verifyRoundTrip } from '../../../src/testing/verify-round-trip.ts';

const ATMEGA = { kind: 'avr', version: '0.21.1', architecture: 'avr', config: {} };
const CLOCK_HZ = 16_000_000;
const INTERRUPTS = 0x100;

/** Counts timer interrupts at 0x100, and loops over a counter and a sum. */
const PROGRAM = program({
  0: [0xc02f],
  // lds r24, 0x100; inc r24; sts 0x100, r24; reti
  32: [0x9180, INTERRUPTS, 0x9583, 0x9380, INTERRUPTS, 0x9518],
  // timer 0 at the full clock, its interrupt on; then inc r17; sts 0x200, r17; add r18, r17; back
  48: [0xe001, 0xbd05, 0xe001, 0x9300, 0x006e, 0x9478, 0x9513, 0x9310, 0x0200, 0x0f21, 0xcffb],
});

function program(parts: Readonly<Record<number, readonly number[]>>): Uint16Array {
  const words = new Uint16Array(256);
  for (const [at, code] of Object.entries(parts)) words.set(code, Number(at));
  return words;
}

function openAvr() {
  const cpu = new CPU(PROGRAM, 2048);
  const usart = new AVRUSART(cpu, usart0Config, CLOCK_HZ);
  const machine = { cpu, timer: new AVRTimer(cpu, timer0Config), usart };
  const { guest, graph, nameDifference } = objectGraphGuest({
    root: machine,
    machine: ATMEGA,
    regions: [
      { name: 'data', bytes: cpu.data, guestAddress: 0, pageBytes: 256 },
      { name: 'program', bytes: cpu.progBytes, kind: 'other', pageBytes: 256 },
    ],
    wiring: [
      'usart.onByteTransmit',
      'usart.onLineTransmit',
      'usart.onRxComplete',
      'usart.onConfigurationChange',
    ],
  });
  const run = (instructions = 900): string => {
    guest.requireRunning();
    for (let i = 0; i < instructions; i++) {
      avrInstruction(cpu);
      cpu.tick();
    }
    return [cpu.pc, cpu.cycles, cpu.data[INTERRUPTS], cpu.data[18]].join();
  };
  return { machine, guest, graph, nameDifference, run };
}

guestConformance(
  'an ATmega328P by its objects',
  async () => {
    const { guest, run } = openAvr();
    return { guest, run: async () => run() };
  },
  { describe, expect, it },
);

describe('avr8js by its objects', () => {
  it('goes on exactly from any instruction, in itself and in another one', async () => {
    const { machine, guest, run, nameDifference } = openAvr();
    const other = openAvr();
    for (let point = 0; point < 30; point++) {
      run(point * 13);
      const report = await verifyRoundTrip(guest, {
        run: () => run(),
        other: { guest: other.guest, run: () => other.run() },
        nameDifference,
      });
      expect({ point, report }).toEqual({ point, report: { ok: true } });
    }
    expect(machine.cpu.data[INTERRUPTS]).toBeGreaterThan(20);
  });

  it('refuses, by the path, to save while the serial line sends, and saves again afterwards', () => {
    const { machine, guest, graph, run } = openAvr();
    // Transmitter on, a character.
    machine.cpu.writeData(usart0Config.UCSRB, 0x08);
    machine.cpu.writeData(usart0Config.UDR, 0x41);
    guest.pauseNow!();
    expect(() => guest.saveDevices()).toThrow(/cpu\.nextClockEvent(\.next)?\.callback/);
    guest.resumeNow!();
    run(40_000);
    expect(graph.save().length).toBeGreaterThan(100);
  });
});
