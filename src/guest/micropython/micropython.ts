// MicroPython at its prompt as a guest: variables, functions, history and the line that is half typed are in its
// memory, so a Python session is a machine like any other. Between two characters its stack is empty.
//
// MicroPython is the user's own copy (npm `@micropython/micropython-webassembly-pyscript`, MIT): its loader and the
// address of its module are handed in. Runs in a page, a worker and Node.
//
// Not in a snapshot: JavaScript objects that Python holds (`handles.ts`), open files (`file-tree.ts`), tasks that wait
// for JavaScript promises. The clock and random numbers are the platform's and go on from the time of the restore.

import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { whyNotShared } from '../../memory/shared-support.ts';
import { type CaughtInstance, catchInstance } from '../wasm/catch-instance.ts';
import { WASM_PAGE_BYTES } from '../wasm/export-internals.ts';
import { RecordReader, RecordWriter } from '../wasm/record-bytes.ts';
import { type HostState, WasmInstanceGuest, type WasmInstanceOptions } from '../wasm/wasm-instance.ts';
import { addBellFile } from './bell-file.ts';
import { type EmscriptenFs, putFileTree, readFileTree, takeFileTree, writeFileTree } from './file-tree.ts';
import { GlueGlobals } from './glue-globals.ts';
import { readHandles, writeHandles } from './handles.ts';

const HOST_VERSION = 1;
/** The module starts with 16.2 MiB; a Python heap grows past it only when a session holds very much. */
const DEFAULT_MAX_MEMORY_BYTES = 32 * MIB;

/** Keys that the prompt understands. */
export const KEY = {
  interrupt: '\x03',
  endOfPaste: '\x04',
  paste: '\x05',
  tab: '\t',
  enter: '\r',
  up: '\x1b[A',
};

/** What is used of MicroPython. */
export interface MicroPython {
  readonly FS: EmscriptenFs;
  replInit(): void;
  /** Answers with something else than 0 when the session asks to end. */
  replProcessChar(byte: number): number;
}

/** The `loadMicroPython` of its package. */
export type LoadMicroPython = (options: {
  readonly url: string;
  readonly heapsize: number;
  readonly pystack: number;
  readonly linebuffer: false;
  readonly stdin: () => null;
  readonly stdout: (bytes: Uint8Array) => void;
  readonly stderr: (bytes: Uint8Array) => void;
}) => Promise<MicroPython>;

export interface MicroPythonOptions {
  readonly loadMicroPython: LoadMicroPython;
  /** Where `micropython.wasm` is: a URL, in Node a path. */
  readonly wasmUrl: string;
  /** Python's heap at the start. 1 MiB when left out. */
  readonly heapBytes?: number;
  /** What the memory may come to, which is the size of its region. 32 MiB when left out. */
  readonly maxMemoryBytes?: number;
  /**
   * `marks`: MicroPython is instrumented and marks the pages that it writes. `barrier`: it can be captured while it runs,
   * too. Left out, all pages are compared. What its loader writes by itself is not marked: see the folder's README.
   */
  readonly tracking?: 'none' | 'marks' | 'barrier';
  /**
   * `shared`: other workers can read its memory while it runs, `auto` where the platform allows it. `private` when left out.
   */
  readonly memory?: 'auto' | 'shared' | 'private';
}

export type OutputListener = (bytes: Uint8Array) => void;

/**
 * Starts MicroPython and brings up its prompt.
 *
 * Throws what the loader throws, and `unsupported` when it loads no MicroPython.
 *
 * @example const guest = await openMicroPython({ loadMicroPython, wasmUrl });
 *          await guest.type('x = 6 * 7\r');
 */
export async function openMicroPython(options: MicroPythonOptions): Promise<MicroPythonGuest> {
  const output = new Output();
  const globals = new GlueGlobals();
  const heapBytes = options.heapBytes ?? MIB;
  const maxMemoryBytes = options.maxMemoryBytes ?? DEFAULT_MAX_MEMORY_BYTES;
  // Two MicroPythons never load at once, since they share the loader's globals: catching waits for its turn.
  const { result: python, caught } = await catchInstance(
    () =>
      globals.load(() =>
        options.loadMicroPython({
          url: options.wasmUrl,
          heapsize: heapBytes,
          pystack: 2048,
          linebuffer: false,
          // Without it `input()` would read from the process, or ask in a window.
          stdin: () => null,
          stdout: (bytes) => output.write(bytes),
          stderr: (bytes) => output.write(bytes),
        }),
      ),
    {
      maxMemoryBytes,
      tracking: options.tracking ?? 'none',
      memory: memoryOf(options.memory, maxMemoryBytes),
      choose: ({ instance }) => 'mp_js_repl_init' in instance.exports,
    },
  );
  globals.run(() => python.replInit());
  return new MicroPythonGuest(
    caught,
    { program: 'micropython', kind: 'micropython', config: { heapBytes } },
    { python, globals, output },
  );
}

function memoryOf(memory: MicroPythonOptions['memory'], maxBytes: number): 'shared' | 'private' {
  if (memory !== 'auto') return memory ?? 'private';
  return whyNotShared(Math.ceil(maxBytes / WASM_PAGE_BYTES)) === undefined ? 'shared' : 'private';
}

export class MicroPythonGuest extends WasmInstanceGuest {
  readonly #parts: Parts;

  /** Use `openMicroPython`. */
  constructor(caught: CaughtInstance, options: WasmInstanceOptions, parts: Parts) {
    super(caught, { ...options, hostState: hostStateOf(parts), doorbell: addBellFile(parts.python.FS) });
    this.#parts = parts;
  }

  /** Hears what the session prints from now on, the echo of typed characters too. The result ends it.
   *
   * Printed lines end with `\n` alone: a terminal has to be told (`convertEol` of xterm). */
  onOutput(listener: OutputListener): () => void {
    return this.#parts.output.listen(listener);
  }

  /**
   * Types text at the prompt; a line ends with `\r` or `\n`. Waits while the guest is paused.
   *
   * Settles when the session has answered. Throws `guest-failed` when the program itself stops, `guest-closed`.
   */
  async type(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text.replaceAll(/\r\n?|\n/g, KEY.enter));
    let at = 0;
    const feed = () => {
      // Between two characters its stack is empty: what rang in the last statement is answered before the next one.
      while (at < bytes.length && this.doorbell?.isRung !== true) this.#feed(bytes[at++]!);
    };
    do await this.enter(feed);
    while (at < bytes.length);
  }

  /** Runs some lines as they are: typed at the prompt, their indentation would be doubled. Throws as `type`. */
  paste(code: string): Promise<void> {
    return this.type(KEY.paste + code + KEY.endOfPaste);
  }

  /** How many JavaScript objects Python holds now: they do not come along into another tab. */
  get hostObjects(): number {
    return this.#parts.globals.handles.filter((handle) => handle !== undefined).length;
  }

  #feed(byte: number): void {
    const { globals, python } = this.#parts;
    try {
      const ended = globals.run(() => python.replProcessChar(byte));
      // At the end of the session, Ctrl-D, there is a new prompt, as on a board.
      if (ended !== 0) globals.run(() => python.replInit());
    } catch (cause) {
      throw new VitrineError('guest-failed', { program: 'micropython' }, { cause });
    }
  }
}

interface Parts {
  readonly python: MicroPython;
  readonly globals: GlueGlobals;
  readonly output: Output;
}

/** Files and handles: what a session has outside its instance. */
function hostStateOf({ python, globals }: Parts): HostState {
  return {
    version: HOST_VERSION,
    save: () => {
      const writer = new RecordWriter();
      writeHandles(writer, globals.handles);
      writeFileTree(writer, takeFileTree(python.FS));
      return writer.finish();
    },
    load: (bytes) => {
      const reader = new RecordReader('host', bytes);
      const handles = readHandles(reader);
      const tree = readFileTree(reader);
      reader.requireEnd();
      globals.handles = handles;
      putFileTree(python.FS, tree);
    },
  };
}

class Output {
  readonly #listeners = new Set<OutputListener>();

  write(bytes: Uint8Array): void {
    for (const listener of this.#listeners) listener(bytes);
  }

  listen(listener: OutputListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
