// Who reads a stream to its end: the connection is handed on and kept.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StreamHeir } from '../../src/host/qemu/stream-heir.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';

describe('an heir', () => {
  let folder: string;
  const heirs: StreamHeir[] = [];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-heir-'));
  });
  afterEach(async () => {
    for (const heir of heirs.splice(0)) heir.close();
    await rm(folder, { recursive: true, force: true });
  });
  const listen = async (name: string): Promise<StreamHeir> => {
    const heir = await StreamHeir.listen(join(folder, name));
    heirs.push(heir);
    return heir;
  };

  it('hands the connection on, and takes nothing of what comes over it', async () => {
    const heir = await listen('stream');
    const sent = 'what comes, '.repeat(100_000);
    const peer = connect(join(folder, 'stream'));
    peer.end(sent);
    expect(await text(await heir.connection)).toBe(sent);
  });

  it('keeps the connection where whoever has it from it lets it go', async () => {
    const heir = await listen('stream');
    const peer = connect(join(folder, 'stream')).on('error', () => {});
    const connection = await heir.connection;
    connection.destroy();
    await once(connection, 'close');
    // More than fits, so that it would be told that nobody reads.
    let isClosed = false;
    peer.once('close', () => {
      isClosed = true;
    });
    peer.write(Buffer.alloc(1 << 20));
    // Nobody listens any more, and asking takes long enough for it to have been told.
    for (let asked = 0; asked < 100; asked++) await once(connect(join(folder, 'stream')), 'error');
    expect(isClosed).toBe(false);
    heir.close();
    await expect.poll(() => isClosed, { timeout: 30_000 }).toBe(true);
  });

  it('says where it cannot listen, and where it ended before anybody connected', async () => {
    expect(await codeOf(() => listen('no/such/folder'))).toBe('guest-failed');
    const heir = await listen('stream');
    heir.close();
    expect(await codeOf(() => heir.connection)).toBe('guest-failed');
  });
});
