// The native peer of P1: native-compare.c, built and run beside us, measuring when told to.

import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./native-compare.c', import.meta.url));

/** A process that compares when asked. */
export class NativeCompare {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(program: string, bytes: number, offsetsPath: string) {
    this.#child = spawn(program, [String(bytes), offsetsPath], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** One comparison: how long it took by the process's own clock, and how many pages differed. */
  async compare(): Promise<{ readonly ms: number; readonly different: number }> {
    this.#child.stdin.write('.');
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the native peer ended');
    const [nanoseconds, different] = value.split(' ').map(Number);
    return { ms: nanoseconds! / 1e6, different: different! };
  }

  close(): void {
    this.#child.stdin.end();
    this.#reader.close();
  }
}

/** Builds the peer and calls `use` with what starts it; without a compiler `use` gets undefined. */
export async function withNative<Result>(
  use: (start: ((bytes: number, offsets: Uint32Array) => NativeCompare) | undefined) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-bench-'));
  const running: NativeCompare[] = [];
  try {
    const program = join(folder, 'native-compare');
    try {
      execFileSync('gcc', ['-O3', '-o', program, SOURCE], { stdio: 'ignore' });
    } catch {
      return await use(undefined);
    }
    return await use((bytes, offsets) => {
      const path = join(folder, `offsets-${running.length}`);
      writeFileSync(path, offsets);
      const native = new NativeCompare(program, bytes, path);
      running.push(native);
      return native;
    });
  } finally {
    for (const native of running) native.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
