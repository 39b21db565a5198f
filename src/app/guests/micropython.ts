// Opens MicroPython at its prompt.

import { loadMicroPython } from '@micropython/micropython-webassembly-pyscript/micropython.mjs';
import wasmUrl from '@micropython/micropython-webassembly-pyscript/micropython.wasm?url';
import { openMicroPython } from '../../guest/micropython/micropython.ts';
import type { OpenedGuest } from '../../rpc/guest-host.ts';
import { Backlog } from './backlog.ts';

/** Ctrl-B: MicroPython says who it is and prompts. Its first prompt came before anyone could listen. */
const GREET = '\x02';

export async function openMicroPythonPrompt(): Promise<OpenedGuest> {
  const guest = await openMicroPython({
    loadMicroPython,
    wasmUrl: new URL(wasmUrl, import.meta.url).href,
    memory: 'auto',
  });
  const decoder = new TextDecoder();
  const backlog = new Backlog();
  // Printed lines end with a line feed alone; a terminal wants the carriage return too.
  guest.onOutput((bytes) =>
    backlog.take(decoder.decode(bytes, { stream: true }).replaceAll(/\r?\n/g, '\r\n')),
  );
  await guest.type(GREET);
  return {
    guest,
    console: {
      write: (text) => {
        guest.type(text).catch((error: unknown) => backlog.take(`\r\n[${String(error)}]\r\n`));
      },
      onOutput: (listener) => backlog.listen(listener),
    },
  };
}
