// `vitrine instrument`: a module rewritten on disk. The file appears whole or not at all.

import { parseArgs } from 'node:util';
import { type InstrumentOptions, instrument } from '../../instrument/index.ts';
import { readNamedFile } from '../file-error.ts';
import { type Command, type Output, UsageError } from './command.ts';
import { OutputFile } from './output-file.ts';

const HELP = `vitrine instrument game.wasm -o game.marks.wasm --marks
vitrine instrument game.wasm -o game.live.wasm --barriers
vitrine instrument game.wasm -o game.shared.wasm --shared 4096

Rewrites a WebAssembly module so that it knows which pages of its memory it wrote.

  -o, --output FILE     where the rewritten module goes; "-" is standard output
  --marks               each store marks its page
  --barriers            the first store to each page calls the host before it writes; marks too
  --shared PAGES        the memory is a SharedArrayBuffer of at most so many pages of 64 KiB
  --page-bytes BYTES    what a mark stands for: a power of two from 256 to 65536; 4096 when left out
  --max-memory BYTES    the most that the memory may come to; what the module declares when left out
  --json                prints what was done as one JSON object
  -h, --help            this text

Exit code: 0 done, 1 failed (vitrine: CODE: message), 2 the command line was not understood.
`;

export const instrumentCommand: Command = {
  name: 'instrument',
  summary: 'a WebAssembly module that knows which pages of memory it wrote',
  help: HELP,
  run,
};

async function run(args: readonly string[], output: Output): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o' },
      marks: { type: 'boolean' },
      barriers: { type: 'boolean' },
      shared: { type: 'string' },
      'page-bytes': { type: 'string' },
      'max-memory': { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const [input, ...others] = positionals;
  if (input === undefined || others.length > 0) throw new UsageError('give one module to read');
  const { output: target } = values;
  if (target === undefined) throw new UsageError('say with -o where the rewritten module goes');
  if (!values.marks && !values.barriers && values.shared === undefined) {
    throw new UsageError('say what to add: --marks, --barriers or --shared PAGES');
  }
  if (target === '-' && values.json) throw new UsageError('--json and -o - both want standard output');
  const options: InstrumentOptions = {
    ...(values.marks ? { marks: true } : {}),
    ...(values.barriers ? { barriers: true } : {}),
    ...(values.shared === undefined ? {} : { shared: { maximumPages: numberOf('--shared', values.shared) } }),
    ...(values['page-bytes'] === undefined
      ? {}
      : { pageBytes: numberOf('--page-bytes', values['page-bytes']) }),
    ...(values['max-memory'] === undefined
      ? {}
      : { maxMemoryBytes: numberOf('--max-memory', values['max-memory']) }),
  };
  const module = await readNamedFile(input);
  const { bytes, map, memory, report } = instrument(module, options);
  if (target === '-') {
    process.stdout.write(bytes);
    return;
  }
  const out = new OutputFile(target, { mode: 0o666 });
  try {
    out.write(bytes);
    out.keep();
  } finally {
    out.close();
  }
  if (values.json) {
    output.out(
      `${JSON.stringify({ input, output: target, bytes: bytes.length, map: map ?? null, memory, report })}\n`,
    );
    return;
  }
  const { stores, bulk, proven } = report;
  output.out(`${target}: ${module.length} bytes became ${bytes.length}\n`);
  if (map !== undefined) {
    output.out(
      `${stores} stores, ${proven} of them proven away; ${bulk} ranges; a map of ${map.mapBytes} bytes\n`,
    );
  }
  if (memory.isImported) {
    const { initial, maximum, shared } = memory;
    output.out(
      `make its memory as new WebAssembly.Memory(${JSON.stringify({ initial, maximum, shared })})\n`,
    );
  }
}

function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new UsageError(`${option} wants a whole number, not "${text}"`);
  }
  return value;
}
