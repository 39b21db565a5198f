// The audit, the log and the token file: what is written, and what never is.

import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { brokenAuditLine, openAuditFile } from '../../../src/host/bridge/audit.ts';
import { openEventLog } from '../../../src/host/bridge/event-log.ts';
import { ensureRunFolder, runningBridges, writeTokenFile } from '../../../src/host/bridge/token-file.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-audit-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const ENTRY = {
  subject: 'owner',
  visitor: 'session:1',
  remote: '127.0.0.1',
  verb: 'peek',
  permission: 'peek',
  outcome: 'ok',
  notes: { machine: 'pulse', ranges: [[4096, 64]] },
  durationMs: 3,
} as const;

describe('the audit', () => {
  it('has a line for each entry that follows the one before, across openings', async () => {
    const path = join(folder, 'audit.jsonl');
    for (const verb of ['peek', 'save']) {
      const audit = openAuditFile(path, () => 0);
      audit.write({ ...ENTRY, verb });
      audit.write({ ...ENTRY, verb, outcome: 'busy' });
      audit.close();
    }
    const text = await readFile(path, 'utf8');
    const lines = text.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { ...ENTRY, time: '1970-01-01T00:00:00.000Z' },
      { outcome: 'busy' },
      { verb: 'save' },
      { verb: 'save', outcome: 'busy' },
    ]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(brokenAuditLine(text)).toBeUndefined();
    expect(brokenAuditLine([lines[0], lines[2], lines[3], ''].join('\n'))).toBe(2);
    expect(brokenAuditLine(text.replace('"busy"', '"ok"'))).toBe(3);
    expect(brokenAuditLine(lines.slice(1).join('\n'))).toBe(1);
    expect(brokenAuditLine(`${text}nonsense\n`)).toBe(5);
  });

  it('that cannot be written says so', () => {
    expect(() => openAuditFile(join(folder, 'none', 'audit.jsonl'), () => 0)).toThrow(
      expect.objectContaining({ code: 'store-io' }),
    );
    const audit = openAuditFile(join(folder, 'audit.jsonl'), () => 0);
    audit.close();
    expect(() => audit.write(ENTRY)).toThrow(expect.objectContaining({ code: 'store-io' }));
  });
});

describe('the log', () => {
  it('lets no text move a cursor or make a line', () => {
    const lines: string[] = [];
    for (const format of ['json', 'terminal'] as const) {
      const log = openEventLog({ write: (line) => void lines.push(line), wallMs: () => 0, format });
      log('warn', 'refused', { origin: 'a\n\x1b[2Jb' });
    }
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', event: 'refused', origin: 'a\n\x1b[2Jb' });
    expect(lines[1]).toBe('00:00:00 warn refused origin="a\\n\\u001b[2Jb"\n');
  });
});

describe('the token file', () => {
  const content = {
    pid: process.pid,
    port: 7333,
    origin: 'http://127.0.0.1:7333',
    socket: null,
    token: 't',
    version: '1',
    store: null,
  };

  it('is its owner’s alone, and is found while its bridge runs', async () => {
    const run = join(folder, 'run');
    const path = await writeTokenFile(run, content);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(run)).mode & 0o777).toBe(0o700);
    // No process has the largest id that a signal can be sent to.
    const gone = await writeTokenFile(run, { ...content, port: 7334, pid: 2 ** 22 + 1 });
    await writeFile(join(run, 'bridge-7335.json'), '{');
    expect(await runningBridges(run)).toEqual([content]);
    await expect(stat(gone)).rejects.toThrow('ENOENT');
  });

  it('is not put behind a link, nor read behind one', async () => {
    const link = join(folder, 'link');
    await symlink(folder, link);
    await expect(ensureRunFolder(link)).rejects.toMatchObject({ code: 'store-io' });
    await writeTokenFile(folder, content);
    expect(await runningBridges(folder)).toHaveLength(1);
    expect(await runningBridges(link)).toEqual([]);
    expect(await runningBridges(join(folder, 'none'))).toEqual([]);
  });
});
