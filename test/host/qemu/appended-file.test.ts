// What QEMU appends while nobody, somebody, and the next one reads it: the end is always there, and the file has a bound.

import { appendFileSync, closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../../src/base/limits.ts';
import { AppendedFile } from '../../../src/host/qemu/appended-file.ts';

let folder: string;
let path: string;
let file: AppendedFile;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vitrine-appended-'));
  path = join(folder, 'said');
  file = new AppendedFile(path);
});
afterEach(() => {
  file.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('an appended file', () => {
  it('has its end, and what came since', () => {
    appendFileSync(path, 'first ');
    const at = file.saidBytes;
    appendFileSync(path, 'second');
    expect(file.since(at).toString()).toBe('second');
    expect(file.since(file.saidBytes).toString()).toBe('');
    expect(file.tail(3).toString()).toBe('ond');
    expect(file.tail(100).toString()).toBe('first second');
  });

  it('is cut when it is long, and whoever appends goes on', () => {
    const writer = openSync(path, 'a');
    writeSync(writer, `${'x'.repeat(MIB)}end `);
    const at = file.saidBytes;
    file.trim();
    writeSync(writer, 'more');
    expect(statSync(path).size).toBe(4);
    expect(file.tail(8).toString()).toBe('end more');
    expect(file.saidBytes - at).toBe(4);
    expect(file.since(at).toString()).toBe('more');
    closeSync(writer);
  });

  it('is whole for the next one that opens it', () => {
    appendFileSync(path, `${'x'.repeat(MIB)}before `);
    file.trim();
    appendFileSync(path, 'after');
    file.close();
    expect(file.saidBytes).toBe(0);
    file = new AppendedFile(path);
    expect(file.tail(12).toString()).toBe('before after');
  });
});
