// A thread that works on pages: it serves tasks one after another, as messages, with kernels of its own.

import { parentPort } from 'node:worker_threads';
import { isVitrineError } from '../../base/error.ts';
import { loadKernels } from '../../kernel/load.ts';
import { openScanWorkArea, type ScanTask, scanChunks } from './scan-chunks.ts';

/** What a thread can be asked for. */
export type PageTask = ScanTask;

export interface PageRequest {
  readonly id: number;
  readonly task: PageTask;
}

/** What a thread answers: errors of ours by code and data, others as they are. */
export type PageAnswer =
  | { readonly id: number; readonly error?: undefined }
  | {
      readonly id: number;
      readonly error: { readonly code?: string; readonly data?: object; readonly message: string };
    };

/** Serves the thread that started this one. Throws `kernel-unavailable`. */
export async function servePages(): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error('this runs in a thread');
  const scanning = openScanWorkArea(await loadKernels());
  port.on('message', ({ id, task }: PageRequest) => {
    port.postMessage(answer(id, () => scanChunks(task, scanning)));
  });
}

function answer(id: number, work: () => void): PageAnswer {
  try {
    work();
    return { id };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      id,
      error: isVitrineError(error) ? { code: error.code, data: error.data, message } : { message },
    };
  }
}
