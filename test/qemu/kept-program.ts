// Builds and runs owners of machines that are killed: `kept-owner.ts`.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import type { OwnerTask } from './kept-owner.ts';

export interface OwnerProgram {
  /** Runs it until it dies; one that outlived its work is killed. Throws with what it said where it ended by itself. */
  run(task: OwnerTask): Promise<'died at its step' | 'done'>;
  remove(): Promise<void>;
}

export async function buildOwner(): Promise<OwnerProgram> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-owner-'));
  await build({
    configFile: false,
    logLevel: 'error',
    build: { ssr: join(import.meta.dirname, 'kept-owner.ts'), outDir: folder, emptyOutDir: false },
  });
  return {
    run: (task) => run(join(folder, 'kept-owner.js'), task),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

function run(program: string, task: OwnerTask): Promise<'died at its step' | 'done'> {
  const child = spawn(process.execPath, [program, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let error = '';
  child.stderr.on('data', (text) => {
    error += String(text);
  });
  child.stdout.on('data', (text) => {
    out += String(text);
    if (out.includes('done')) child.kill('SIGKILL');
  });
  return new Promise((resolve, reject) => {
    child.once('close', (code, signal) => {
      if (signal !== 'SIGKILL') reject(new Error(`the owner ended by itself (${code}): ${out}${error}`));
      else resolve(out.includes('done') ? 'done' : 'died at its step');
    });
  });
}
