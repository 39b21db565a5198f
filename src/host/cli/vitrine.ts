#!/usr/bin/env node
// The program `vitrine`: a composition root, no more.

import { runCli } from './run-cli.ts';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The second time it is meant.
    if (interrupt.signal.aborted) process.exit(130);
    interrupt.abort();
  });
}

process.exitCode = await runCli(
  process.argv.slice(2),
  {
    out: (text) => process.stdout.write(text),
    error: (text) => process.stderr.write(text),
  },
  {
    signal: interrupt.signal,
    environment: process.env,
    columns: process.stderr.isTTY ? process.stderr.columns || 80 : undefined,
  },
);
