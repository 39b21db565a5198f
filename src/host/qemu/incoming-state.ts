// State for a process that was started to wait for it (`-incoming defer`) and has its RAM already.

import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import type { QemuProcess } from './process.ts';
import { isZeroPage } from './ram-image.ts';
import type { SavedMachine } from './saved-machine.ts';
import { IGNORE_SHARED } from './state-transfer.ts';
import { type StreamPage, synthesizeStream } from './stream/index.ts';

const PAGE_BYTES = 4096;

export type IncomingState = Pick<SavedMachine, 'machineType' | 'blocks' | 'sections' | 'contents'>;

/** Devices and the blocks that are not RAM; RAM is listed and not told, so that the image stays in its place. */
export function deviceStream({ machineType, blocks, sections, contents }: IncomingState): Uint8Array[] {
  const pages: StreamPage[] = [];
  for (const [index, { bytes }] of contents.entries()) {
    for (let offset = 0; offset < bytes.length; offset += PAGE_BYTES) {
      const page = bytes.subarray(offset, offset + PAGE_BYTES);
      pages.push({ block: index + 1, offset, bytes: isZeroPage(page) ? 0 : page });
    }
  }
  // Addresses are compared for shared memory alone, and a clone has none.
  const listed = blocks.map((block) => ({ ...block, gpa: 0 }));
  return synthesizeStream({ machineType, capabilities: [IGNORE_SHARED], blocks: listed, pages, sections });
}

/** Loads a stream into a process that waits for one. Throws `guest-failed` with QEMU's words when it refuses. */
export async function sendStream({ qmp, files }: QemuProcess, stream: readonly Uint8Array[]): Promise<void> {
  const path = join(files.directory, 'incoming');
  await qmp.execute('migrate-incoming', { uri: `unix:${path}` });
  const socket = connect(path);
  // What went wrong is told by the monitor; the socket only ends then.
  socket.on('error', () => {});
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  for (const chunk of stream) socket.write(chunk);
  socket.end();
  for (;;) {
    const { status, 'error-desc': said } = await qmp.execute('query-migrate');
    if (status === 'completed') return;
    if (status === 'failed')
      throw new VitrineError('guest-failed', { command: 'migrate-incoming', said: said ?? '' });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
