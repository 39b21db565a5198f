// The doorbell of a v86 machine: an I/O port. The instant of a ring is the one right behind the `out` that rang.
//
// v86 runs a hundred thousand instructions between two looks at the host, compiled or not. Two things end that at one
// instruction: an `out` is the last instruction of a compiled block, with all registers written back, and of a run of
// the interpreter; and v86 leaves its loop when the processor halts. So the port's handler halts the processor for a moment.
// Interrupts are held off as long, since one that is due would wake it and run on: it is delivered after the answer, before
// the next instruction, as it would have been without the ring.
//
// `rep outs` to the port writes several words within one instruction: the first rings, the others are refused.

import { type Clock, SYSTEM_CLOCK } from '../../base/clock.ts';
import { DoorbellDesk } from '../doorbell.ts';
import { CPU_BLOCK, type V86Cpu } from './v86-internals.ts';

/** `Vt`; v86 has no device there, and PCI ranges lie above 0xc000. */
export const V86_DOORBELL_PORT = 0x5674;

const FLAG_INTERRUPT = 1 << 9;

export class V86Doorbell {
  readonly desk: DoorbellDesk;
  readonly #cpu: V86Cpu;
  readonly #mainLoop: () => number;
  #isHeld = false;
  /** Interrupts were held off in the last slice. */
  #owesInterrupts = false;
  #interruptFlag = 0;

  constructor(cpu: V86Cpu, clock: Clock = SYSTEM_CLOCK) {
    this.#cpu = cpu;
    this.desk = new DoorbellDesk(`I/O port 0x${V86_DOORBELL_PORT.toString(16)}`, 'the instruction', clock);
    const read = () => this.desk.word;
    const write = (word: number) => this.#ring(word);
    cpu.io.register_read(V86_DOORBELL_PORT, cpu, read, read, read);
    cpu.io.register_write(V86_DOORBELL_PORT, cpu, write, write, write);
    this.#mainLoop = cpu.main_loop;
    cpu.main_loop = () => {
      if (this.#owesInterrupts) cpu.wm.exports.handle_irqs();
      this.#owesInterrupts = false;
      try {
        return this.#mainLoop.call(cpu);
      } finally {
        if (this.#isHeld) this.#letGo();
      }
    };
  }

  /** Takes the port out of the machine. */
  remove(): void {
    this.desk.stop();
    this.#cpu.main_loop = this.#mainLoop;
    this.#cpu.devices.pci.io.ports[V86_DOORBELL_PORT] = this.#cpu.devices.pci.io.create_empty_entry();
  }

  #ring(word: number): void {
    if (!this.desk.ring(word)) return;
    const memory = this.#memory();
    this.#isHeld = true;
    const flags = memory.getInt32(CPU_BLOCK.flags, true);
    this.#interruptFlag = flags & FLAG_INTERRUPT;
    memory.setInt32(CPU_BLOCK.flags, flags & ~FLAG_INTERRUPT, true);
    memory.setUint8(CPU_BLOCK.halted, 1);
  }

  /** The slice is over: the processor is as its `out` left it. */
  #letGo(): void {
    const memory = this.#memory();
    memory.setUint8(CPU_BLOCK.halted, 0);
    memory.setInt32(CPU_BLOCK.flags, memory.getInt32(CPU_BLOCK.flags, true) | this.#interruptFlag, true);
    this.#isHeld = false;
    this.#owesInterrupts = true;
  }

  #memory(): DataView {
    return new DataView(this.#cpu.wasm_memory.buffer);
  }
}
