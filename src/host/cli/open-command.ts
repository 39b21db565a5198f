// `vitrine open`: another address of the bridge that runs.

import { parseArgs } from 'node:util';
import { VitrineError } from '../../base/error.ts';
import { type Command, type Output, type Surroundings, UsageError } from './command.ts';
import { findBridge } from './find-bridge.ts';

const HELP = `vitrine open
vitrine open --bridge 7333 --json

Prints an address that opens the page of the bridge that runs, once, for a quarter of an hour.

  --bridge PORT         which one, where several run
  --json                prints one JSON object
  -h, --help            this text

Exit code: 0 done, 1 failed, 2 the command line was not understood, 9 no bridge runs or it does not answer.
`;

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
    options: { bridge: { type: 'string' }, json: { type: 'boolean' } },
  });
  if (positionals.length > 0) throw new UsageError('open takes options alone');
  const { origin, token } = await findBridge(surroundings.environment, values.bridge);
  const response = await fetch(`${origin}/key`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: '{}',
  }).catch((cause: unknown) => {
    throw new VitrineError('connection-lost', { bridge: origin }, { cause });
  });
  const answer = (await response.json()) as { readonly address?: string; readonly code?: string };
  if (answer.address === undefined) {
    throw new VitrineError('permission-denied', { bridge: origin, code: answer.code ?? response.status });
  }
  output.out(values.json ? `${JSON.stringify(answer)}\n` : `${answer.address}\n`);
}
