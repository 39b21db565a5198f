// State for a process that was started to wait for it (`-incoming defer`) and has its RAM already.

import type { Socket } from 'node:net';
import { VitrineError } from '../../base/error.ts';
import type { QemuProcess } from './process.ts';
import { isZeroPage } from './ram-image.ts';
import type { SavedMachine } from './saved-machine.ts';
import { IGNORE_SHARED } from './state-transfer.ts';
import { type StreamPage, synthesizeStream } from './stream/index.ts';
import { connectIncoming, listen } from './waiting-process.ts';

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

/** Has a process listen, and loads a stream into it. Throws as `loadStream`, and `unsupported`. */
export async function sendStream(process: QemuProcess, stream: readonly Uint8Array[]): Promise<void> {
  await listen(process, 'there');
  await loadStream(process, await connectIncoming(process), stream);
}

/** Loads a stream into a process that listens at a socket. Throws `guest-failed` with QEMU's words when it refuses. */
export async function loadStream(
  { qmp }: QemuProcess,
  socket: Socket,
  stream: readonly Uint8Array[],
): Promise<void> {
  // What went wrong is told by the monitor; the socket only ends then.
  socket.on('error', () => {});
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
