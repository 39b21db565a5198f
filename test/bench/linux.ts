// A Linux guest for the rows that need a working one: v86 as an embedder makes it, so that its own save and restore
// are there too, and our guest adopted from it.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';
import { adoptV86, trackedWasmFn, type V86Guest } from '../../src/guest/v86/index.ts';
import { threadMs } from './thread-time.ts';

const IMAGES = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.guests');
const MIB = 2 ** 20;

/** The part of v86's API that peers are measured with. */
export interface Emulator {
  run(): Promise<void>;
  stop(): Promise<void>;
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  serial0_send(text: string): void;
  add_listener(event: string, listener: (value: number) => void): void;
}

export interface LinuxBench {
  readonly emulator: Emulator;
  readonly guest: V86Guest;
  /** From the power switch to the shell. */
  readonly bootMs: number;
  /** Of that, with a processor. */
  readonly bootThreadMs: number;
  /** Runs a shell command and waits for its end; answers with what it printed. */
  shell(command: string): Promise<string>;
}

/** Whether `npm run guests` has been run. */
export function hasLinux(): boolean {
  return existsSync(join(IMAGES, 'vmlinuz'));
}

export interface LinuxBenchOptions {
  readonly memoryMiB?: number;
  /** `none`: the unmodified program. `auto` when left out. */
  readonly tracking?: 'auto' | 'none';
  /** Takes the marks so often while it boots; never when left out. */
  readonly epochMs?: number;
  /** In place of all that: makes the instance of v86's program. */
  readonly wasmFn?: (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports>;
}

/** Runs `work` while the guest's marks are taken every `epochMs`; never without. */
export async function inEpochs<T>(
  guest: V86Guest,
  epochMs: number | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (epochMs === undefined) return work();
  let ended = false;
  const epochs = async () => {
    while (!ended) {
      await new Promise((next) => setTimeout(next, epochMs));
      await guest.pause();
      guest.takeDirty().commit();
      await guest.resume();
    }
  };
  const [result] = await Promise.all([
    work().finally(() => {
      ended = true;
    }),
    epochs(),
  ]);
  return result;
}

/** Boots to the shell; the screen is left out, as nobody looks. */
export async function bootLinux(options: LinuxBenchOptions = {}): Promise<LinuxBench> {
  const { memoryMiB = 128, tracking = 'auto', epochMs, wasmFn } = options;
  const image = (name: string) => ({ buffer: new Uint8Array(readFileSync(join(IMAGES, name))).buffer });
  const wasm = readFileSync(fileURLToPath(import.meta.resolve('v86')).replace('libv86.mjs', 'v86.wasm'));
  const emulator = new V86({
    wasm_fn:
      wasmFn ??
      (tracking === 'auto'
        ? trackedWasmFn(Uint8Array.from(wasm))
        : async (imports: WebAssembly.Imports) =>
            (await WebAssembly.instantiate(wasm, imports)).instance.exports),
    memory_size: memoryMiB * MIB,
    vga_memory_size: MIB,
    bios: image('bios'),
    vga_bios: image('vgabios'),
    bzimage: image('vmlinuz'),
    initrd: image('initrd'),
    cmdline: 'console=ttyS0,115200 quiet tsc=reliable mitigations=off random.trust_cpu=on nomodeset',
    autostart: false,
    acpi: false,
    net_device: { type: 'none' },
    disable_speaker: true,
  } as unknown as ConstructorParameters<typeof V86>[0]) as unknown as Emulator;
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
  const guest = adoptV86(emulator);
  const serial = new Serial(emulator);
  const { bootMs, bootThreadMs } = await inEpochs(guest, epochMs, async () => {
    const [startMs, startThreadMs] = [performance.now(), threadMs()];
    await emulator.run();
    await serial.until('# ', 0);
    return { bootMs: performance.now() - startMs, bootThreadMs: threadMs() - startThreadMs };
  });
  let count = 0;
  const shell = async (command: string): Promise<string> => {
    const from = serial.text.length;
    const end = `end-of-${count++}`;
    emulator.serial0_send(`${command}; echo end-of"-"${count - 1}\n`);
    await serial.until(`${end}\r\n`, from);
    return serial.text.slice(from, serial.text.lastIndexOf(end));
  };
  await shell('stty -echo; PS1=');
  return { emulator, guest, bootMs, bootThreadMs, shell };
}

/** What came over the first serial port, and who waits for what. */
class Serial {
  text = '';
  #waiting: (() => void)[] = [];

  constructor(emulator: Emulator) {
    emulator.add_listener('serial0-output-byte', (byte) => {
      this.text += String.fromCharCode(byte);
      for (const look of this.#waiting) look();
    });
  }

  until(text: string, from: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.text.includes(text, from)) return;
        this.#waiting = this.#waiting.filter((one) => one !== look);
        resolve();
      };
      this.#waiting.push(look);
      look();
    });
  }
}
