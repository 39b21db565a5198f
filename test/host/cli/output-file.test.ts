// Files that commands write: whole or not there, and what is no file stays what it is.

import { spawn, spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OutputFile } from '../../../src/host/cli/output-file.ts';
import { fileError } from '../../../src/host/file-error.ts';

const WORDS = new TextEncoder().encode('some words');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vitrine-output-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, options: { mayReplace?: boolean } = {}): number {
  const out = new OutputFile(path, options);
  try {
    out.write(WORDS);
    out.write(WORDS);
    return out.keep();
  } finally {
    out.close();
  }
}

function errorOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe('a file that a command writes', () => {
  it('is there when it is whole, for its owner alone', () => {
    const path = join(folder, 'out');
    const out = new OutputFile(path);
    out.write(WORDS);
    expect(readdirSync(folder)).not.toContain('out');
    expect(out.keep()).toBe(WORDS.length);
    out.close();
    expect(readdirSync(folder)).toEqual(['out']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const given = new OutputFile(path);
    given.write(WORDS);
    given.write(WORDS);
    given.close();
    given.close();
    expect(readdirSync(folder)).toEqual(['out']);
    expect(readFileSync(path, 'latin1')).toBe('some words');
  });

  it('replaces another one only where it may', () => {
    const path = join(folder, 'out');
    writeFileSync(path, 'before');
    const refused = { code: 'argument-invalid', data: { file: path, allowedBy: '--force' } };
    expect(errorOf(() => write(path, { mayReplace: false }))).toMatchObject(refused);
    expect(readFileSync(path, 'latin1')).toBe('before');
    expect(write(path)).toBe(2 * WORDS.length);
    expect(readFileSync(path, 'latin1')).toBe('some wordssome words');
    // One that came while it was written.
    const late = join(folder, 'late');
    const out = new OutputFile(late, { mayReplace: false });
    writeFileSync(late, 'before');
    expect(errorOf(() => out.keep())).toMatchObject({ code: 'argument-invalid' });
    out.close();
    expect(readFileSync(late, 'latin1')).toBe('before');
    expect(readdirSync(folder).sort()).toEqual(['late', 'out']);
  });

  it('leaves a link one', () => {
    mkdirSync(join(folder, 'far'));
    writeFileSync(join(folder, 'far', 'real'), 'before');
    symlinkSync(join(folder, 'far', 'real'), join(folder, 'link'));
    write(join(folder, 'link'));
    expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, 'far', 'real'), 'latin1')).toBe('some wordssome words');
    expect(readdirSync(join(folder, 'far'))).toEqual(['real']);
  });

  it('goes into a pipe as it is, and a pipe stays one', async () => {
    const pipe = join(folder, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    const reader = spawn('cat', [pipe]);
    const read = text(reader.stdout);
    expect(write(pipe, { mayReplace: false })).toBe(2 * WORDS.length);
    expect(await read).toBe('some wordssome words');
    expect(statSync(pipe).isFIFO()).toBe(true);
    expect(readdirSync(folder)).toEqual(['pipe']);
  });

  it('finds a device full, and the device stays one', () => {
    const full = { code: 'store-full', data: { file: '/dev/full' } };
    expect(errorOf(() => write('/dev/full'))).toMatchObject(full);
    expect(statSync('/dev/full').isCharacterDevice()).toBe(true);
    expect(write('/dev/null')).toBe(2 * WORDS.length);
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it('is refused by name where it cannot be', () => {
    expect(errorOf(() => write(folder))).toMatchObject({
      code: 'argument-invalid',
      data: { file: folder, wants: 'a file' },
    });
    const nowhere = join(folder, 'none', 'out');
    expect(errorOf(() => write(nowhere))).toMatchObject({ code: 'not-found', data: { file: nowhere } });
    writeFileSync(join(folder, 'file'), '');
    const below = join(folder, 'file', 'out');
    expect(errorOf(() => write(below))).toMatchObject({ code: 'not-found', data: { file: below } });
  });

  it('keeps what is not of the platform as it is', () => {
    const own = new Error('ours');
    expect(fileError('a', own)).toBe(own);
    const odd = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    expect(fileError('a', odd)).toMatchObject({ code: 'store-io', data: { file: 'a', reason: odd.message } });
  });
});
