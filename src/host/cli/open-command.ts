// `vitrine open`: another address of the bridge that runs.

import { request } from 'node:http';
import { parseArgs } from 'node:util';
import { VitrineError } from '../../base/error.ts';
import type { TokenFile } from '../bridge/token-file.ts';
import { type Command, type Output, type Surroundings, UsageError } from './command.ts';
import { findBridge } from './find-bridge.ts';

const HELP = `vitrine open
vitrine open --bridge 7333 --json
vitrine open --for student-7

Prints an address that opens the page of the bridge that runs, once, for a quarter of an hour.

  --for NAME            opens it as somebody who is in the bridge's configuration, with what that one may do
  --bridge PORT         which one, where several run
  --json                prints one JSON object
  -h, --help            this text

Exit code: 0 done, 1 failed, 2 the command line was not understood, 9 no bridge runs or it does not answer.
`;

interface KeyAnswer {
  readonly address?: string;
  readonly code?: string;
}

export const openCommand: Command = {
  name: 'open',
  summary: 'another one-time address of the bridge that runs',
  help: HELP,
  run,
};

async function run(args: readonly string[], output: Output, surroundings: Surroundings): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { bridge: { type: 'string' }, for: { type: 'string' }, json: { type: 'boolean' } },
  });
  if (positionals.length > 0) throw new UsageError('open takes options alone');
  const bridge = await findBridge(surroundings.environment, values.bridge);
  const { origin } = bridge;
  const answer = await askKey(bridge, values.for === undefined ? {} : { for: values.for }).catch(
    (cause: unknown) => {
      throw new VitrineError('connection-lost', { bridge: origin }, { cause });
    },
  );
  if (answer.address === undefined) {
    const isUnknown = answer.code === 'visitor-unknown';
    throw new VitrineError(isUnknown ? 'not-found' : 'permission-denied', {
      bridge: origin,
      refusal: answer.code ?? 'none',
    });
  }
  output.out(values.json ? `${JSON.stringify(answer)}\n` : `${answer.address}\n`);
}

/** Over the socket of this host where there is one: it needs no certificate. */
function askKey({ origin, socket, token }: TokenFile, body: object): Promise<KeyAnswer> {
  return new Promise((resolve, reject) => {
    const sent = JSON.stringify(body);
    const where = socket === null ? {} : { socketPath: socket };
    const url = new URL('/key', socket === null ? origin : 'http://localhost');
    const headers = {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(sent),
    };
    const asked = request(url, { method: 'POST', headers, timeout: 10_000, ...where }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => {
        text += part;
      });
      answer.on('error', reject);
      answer.on('end', () => {
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    asked.on('error', reject);
    asked.on('timeout', () => asked.destroy(new Error('it does not answer')));
    asked.end(sent);
  });
}
