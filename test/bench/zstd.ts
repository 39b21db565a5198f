// The zstd command, a peer: native, and what people pipe a state through.

import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';

/** Whether the machine has it. */
export function hasZstd(): boolean {
  return spawnSync('zstd', ['--version']).status === 0;
}

/** How many bytes `zstd -level` makes of `bytes`, and in what time. */
export function zstdSize(bytes: Uint8Array, level: number): { readonly bytes: number; readonly ms: number } {
  const startMs = performance.now();
  const { status, stdout } = spawnSync('zstd', [`-${level}`, '-c', '-q'], {
    input: bytes,
    maxBuffer: 2 ** 31,
  });
  if (status !== 0) throw new Error(`zstd failed with ${status}`);
  return { bytes: stdout.length, ms: performance.now() - startMs };
}

/** As `zstdSize`, of a file. */
export function zstdFile(path: string, level: number): { readonly bytes: number; readonly ms: number } {
  const startMs = performance.now();
  const { status } = spawnSync('zstd', [`-${level}`, '-q', '-f', path, '-o', `${path}.zst`]);
  if (status !== 0) throw new Error(`zstd failed with ${status}`);
  const ms = performance.now() - startMs;
  return { bytes: statSync(`${path}.zst`).size, ms };
}
