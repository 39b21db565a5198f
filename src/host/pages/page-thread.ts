// A thread that works on pages: it serves tasks one after another, as messages, with kernels and codecs of its own.

import { parentPort } from 'node:worker_threads';
import { isVitrineError } from '../../base/error.ts';
import type { Codecs } from '../../codec/codec.ts';
import { Digester } from '../../engine/digester.ts';
import type { DecodedFrame, EncodedPages, InspectedPages, PagesAtHand } from '../../engine/page-encoder.ts';
import type { Digest } from '../../format/digest.ts';
import { loadKernels } from '../../kernel/load.ts';
import { type Checksum, loadChecksum } from './checksum.ts';
import { type CompareTask, compareChunks } from './compare-chunks.ts';
import {
  type DecodeTask,
  type DigestTask,
  decodeFrames,
  type EncodeTask,
  encodePages,
  type InspectTask,
  inspectPages,
  loadThreadCodecs,
  type ReadTask,
  readPages,
} from './encode-pages.ts';
import { openScanWorkArea, type ScanTask, type ScanWorkArea, scanChunks } from './scan-chunks.ts';

/** What a thread can be asked for. */
export type PageTask = ScanTask | CompareTask | InspectTask | ReadTask | EncodeTask | DigestTask | DecodeTask;

/** What it answers with. */
export type PageResult<Task extends PageTask> = Task extends InspectTask | ReadTask
  ? InspectedPages
  : Task extends EncodeTask
    ? EncodedPages
    : Task extends DigestTask
      ? Digest
      : Task extends DecodeTask
        ? DecodedFrame[]
        : undefined;

export interface PageRequest {
  readonly id: number;
  readonly task: PageTask;
}

/** What a thread answers: errors of ours by code and data, others as they are. */
export type PageAnswer =
  | { readonly id: number; readonly result: unknown; readonly error?: undefined }
  | {
      readonly id: number;
      readonly error: { readonly code?: string; readonly data?: object; readonly message: string };
    };

interface Parts {
  readonly scanning: ScanWorkArea;
  readonly digester: Digester;
  readonly codecs: Codecs;
  readonly checksum: Checksum;
}

/** Serves the thread that started this one. Throws `kernel-unavailable`. */
export async function servePages(): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error('this runs in a thread');
  const kernels = await loadKernels();
  const parts = {
    scanning: openScanWorkArea(kernels),
    digester: new Digester(kernels),
    codecs: await loadThreadCodecs(),
    checksum: await loadChecksum(),
  };
  port.on('message', async ({ id, task }: PageRequest) => {
    try {
      const { result, transfer } = task.kind === 'compare' ? await doCompare(task) : doTask(task, parts);
      const answer: PageAnswer = { id, result };
      port.postMessage(answer, transfer);
    } catch (error) {
      const answer: PageAnswer = { id, error: told(error) };
      port.postMessage(answer);
    }
  });
}

async function doCompare(task: CompareTask) {
  return { result: await compareChunks(task), transfer: [] };
}

function doTask(task: Exclude<PageTask, CompareTask>, { scanning, digester, codecs, checksum }: Parts) {
  if (task.kind === 'read') {
    const result = readPages(task, digester);
    return { result, transfer: [result.digests.buffer] };
  }
  if (task.kind === 'scan') return { result: scanChunks(task, scanning), transfer: [] };
  if (task.kind === 'encode') {
    return { result: encodePages(task, codecs, checksum), transfer: ownOf(task.at) };
  }
  if (task.kind === 'digest') return { result: digester.digest(task.bytes), transfer: [] };
  if (task.kind === 'decode') {
    const result = decodeFrames(task, codecs, digester);
    return { result, transfer: result.map(({ bytes }) => bytes.buffer) };
  }
  const result = inspectPages(task, digester);
  const { at, past, digests } = result;
  const before = past === undefined ? [] : [past.bytes.buffer];
  return { result, transfer: [...ownOf(at), ...before, digests.buffer] };
}

/** What goes back. */
function ownOf(at: PagesAtHand): ArrayBuffer[] {
  return at.kind === 'own' ? [at.bytes.buffer] : [];
}

function told(error: unknown) {
  const message = error instanceof Error ? error.message : String(error);
  return isVitrineError(error) ? { code: error.code, data: error.data, message } : { message };
}
