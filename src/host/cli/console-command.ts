// `vitrine console`: a machine's serial line in this terminal. Ctrl-] leaves it, as telnet does; the machine runs on.

import { UsageError } from './command.ts';
import { verbCommand } from './verb-command.ts';

const LEAVE = 0x1d;

export const consoleCommand = verbCommand({
  name: 'console',
  summary: 'a machine’s serial line in this terminal; Ctrl-] leaves it',
  help: `vitrine console web
echo uname -a | vitrine console web

Shows what the machine says, beginning with its last words, and types what you type. Ctrl-] leaves it. Input from a pipe is typed
to its end, and then what the machine says is shown until Ctrl-C.

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], values, work, say }) {
    if (values.json === true) throw new UsageError('a console has no JSON');
    const { stdin, stdout } = process;
    const isTerminal = stdin.isTTY === true;
    const ended = new Promise<void>((resolve, reject) => {
      const line = client.machine(name!).openConsole({ onBytes: (bytes) => void stdout.write(bytes) });
      line.closed.then(() => resolve(), reject);
      const leave = (): void => {
        line.close();
        resolve();
      };
      work.signal?.addEventListener('abort', leave, { once: true });
      stdin.on('data', (bytes: Buffer) => {
        if (isTerminal && bytes.includes(LEAVE)) leave();
        else line.write(Uint8Array.from(bytes));
      });
    });
    if (isTerminal) {
      say(`The serial line of ${name}; Ctrl-] leaves it.`);
      stdin.setRawMode(true);
    }
    stdin.resume();
    try {
      await ended;
    } finally {
      if (isTerminal) stdin.setRawMode(false);
      stdin.pause();
    }
  },
});
