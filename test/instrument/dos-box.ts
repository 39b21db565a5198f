// DOSBox as js-dos publishes it (GPL-2.0, used by these tests alone), with a program of a few bytes that counts in its
// memory. DOSBox runs on timers of this thread, so between two turns of the event loop it rests.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { MIB } from '../../src/base/limits.ts';
import { type CaughtInstance, catchInstance } from '../../src/guest/wasm/catch-instance.ts';

const require = createRequire(import.meta.url);

interface CommandInterface {
  pause(): void;
  resume(): void;
  exit(): Promise<void>;
  events(): { onStdout(listener: (text: string) => void): void };
}

interface Emulators {
  pathPrefix: string;
  dosboxNode(init: readonly unknown[]): Promise<CommandInterface>;
}

export interface DosBox {
  readonly caught: CaughtInstance;
  readonly memory: WebAssembly.Memory;
  readonly commands: CommandInterface;
  /** How often the program went around. */
  loops(): number;
}

const MARKER = 'vitrine-count';
/** Where the counter is in the program's segment. */
const COUNTER = 0x0130;

/**
 * A COM program, loaded at 0100: counts, and fills 2 KiB of its segment with what comes.
 *
 *   0100  83 06 30 01 01   add word [0130], 1
 *   0105  83 16 32 01 00   adc word [0132], 0
 *   010a  1e 07            push ds; pop es
 *   010c  bf 00 80         mov di, 8000
 *   010f  b9 00 04         mov cx, 0400
 *   0112  a1 30 01         mov ax, [0130]
 *   0115  f3 ab            rep stosw
 *   0117  eb e7            jmp 0100
 */
function countingProgram(): Uint8Array {
  const program = new Uint8Array(0x40);
  program.set([
    0x83, 0x06, 0x30, 0x01, 0x01, 0x83, 0x16, 0x32, 0x01, 0x00, 0x1e, 0x07, 0xbf, 0x00, 0x80, 0xb9, 0x00,
    0x04, 0xa1, 0x30, 0x01, 0xf3, 0xab, 0xeb, 0xe7,
  ]);
  program.set(new TextEncoder().encode(MARKER), COUNTER - 0x100 - MARKER.length);
  return program;
}

export async function openDosBox(tracking: 'none' | 'marks' | 'barrier'): Promise<DosBox> {
  require('emulators');
  // Safe: the package puts itself there, and is of this shape.
  const emulators = (globalThis as unknown as { emulators: Emulators }).emulators;
  emulators.pathPrefix = `${join(dirname(require.resolve('emulators')))}/`;
  const config = {
    dosboxConf: '[cpu]\ncore=normal\ncycles=fixed 60000\n[autoexec]\n@echo off\nmount c .\nc:\nCOUNT.COM\n',
    jsdosConf: { version: '8' },
  };
  const { result, caught } = await catchInstance(
    () => emulators.dosboxNode([config, { path: 'COUNT.COM', contents: countingProgram() }]),
    { tracking, maxMemoryBytes: 192 * MIB },
  );
  result.events().onStdout(() => {});
  const memory = caught.instance.exports[caught.internals.memory!.exportName] as WebAssembly.Memory;
  let place = -1;
  const loops = (): number => {
    const bytes = Buffer.from(memory.buffer);
    // The copy that counts: there is one in the file, too.
    if (place < 0) {
      for (let at = bytes.indexOf(MARKER); at >= 0; at = bytes.indexOf(MARKER, at + 1)) {
        if (bytes.readUInt32LE(at + MARKER.length) > 0) place = at + MARKER.length;
      }
    }
    return place < 0 ? 0 : bytes.readUInt32LE(place);
  };
  return { caught, memory, commands: result, loops };
}
