// A bridge as an operator has it: the program as it is built, in a process of its own, which can be killed.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { build } from 'vite';

export interface OwnBridgeOptions {
  /** What it has beside the environment of the tests. */
  readonly environment: NodeJS.ProcessEnv;
  /** A command that starts it, and ends with it, where one is needed. */
  readonly within?: readonly string[];
}

export class OwnBridge {
  readonly #program: string;
  readonly #options: OwnBridgeOptions;
  #process: ChildProcess | undefined;

  private constructor(program: string, options: OwnBridgeOptions) {
    this.#program = program;
    this.#options = options;
  }

  /** Builds the program into `folder`; nothing runs yet. */
  static async build(folder: string, options: OwnBridgeOptions): Promise<OwnBridge> {
    const outDir = join(folder, 'program');
    await build({
      configFile: false,
      logLevel: 'error',
      ssr: { noExternal: true },
      build: { ssr: 'src/host/cli/vitrine.ts', outDir, emptyOutDir: false },
    });
    return new OwnBridge(join(outDir, 'vitrine.js'), options);
  }

  /** Null while it runs, and before. */
  get exitCode(): number | null {
    return this.#process?.exitCode ?? null;
  }

  /** Resolves, when it serves, with what gives its log so far. */
  async start(...more: string[]): Promise<() => string> {
    const { within = [], environment } = this.#options;
    const serve = [process.execPath, this.#program, 'serve', '--listen', '127.0.0.1:0', '--json', ...more];
    const [command, ...args] = [...within, ...serve];
    const child = spawn(command!, args, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    let said = '';
    child.stderr.on('data', (text) => {
      said += String(text);
    });
    const early = once(child, 'exit').then(() => Promise.reject(new Error(`the bridge ended: ${said}`)));
    early.catch(() => {});
    await Promise.race([once(child.stdout, 'data'), early]);
    return () => said;
  }

  /** May be called where none runs. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}
