// Native peers: small C programs of this folder, built and run beside us, measuring when told to.

import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** What one measurement says: how long it took by the process's own clock, and a number that proves the work. */
export interface NativeAnswer {
  readonly ms: number;
  readonly result: number;
}

/** A process that measures when asked. */
export class NativeProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(program: string, parameters: readonly string[]) {
    this.#child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** One measurement; which one is a letter that the program knows. */
  async ask(letter: string): Promise<NativeAnswer> {
    this.#child.stdin.write(letter);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the native peer ended');
    const [nanoseconds, result] = value.split(' ').map(Number);
    return { ms: nanoseconds! / 1e6, result: result! };
  }

  close(): void {
    this.#child.stdin.end();
    this.#reader.close();
  }
}

/** Builds and starts programs in a folder that is gone afterwards. */
export class NativeBench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'vitrine-bench-'));
  readonly #running: NativeProcess[] = [];
  #files = 0;

  /** Builds a source file of this folder; undefined where there is no compiler, or a library is missing. */
  build(source: string, libraries: readonly string[] = []): string | undefined {
    const program = join(this.#folder, source.replace(/\.c$/, ''));
    const path = fileURLToPath(new URL(`./${source}`, import.meta.url));
    try {
      execFileSync('gcc', ['-O3', '-o', program, path, ...libraries.map((name) => `-l${name}`)], {
        stdio: 'ignore',
      });
    } catch {
      return undefined;
    }
    return program;
  }

  /** Puts bytes where a program can read them; returns the path. */
  put(bytes: Uint8Array): string {
    const path = join(this.#folder, `data-${this.#files++}`);
    writeFileSync(path, bytes);
    return path;
  }

  start(program: string, ...parameters: readonly string[]): NativeProcess {
    const native = new NativeProcess(program, parameters);
    this.#running.push(native);
    return native;
  }

  close(): void {
    for (const native of this.#running) native.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
