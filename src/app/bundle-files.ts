// Snapshots as files of the browser's user: downloaded, and opened again. Loaded when the first one is asked for. A download is
// put together of blobs, a pack each, which the browser keeps on disk when they are many: the page holds one pack at a time.

import type { OwnedBytes } from '../base/bytes.ts';
import type { WorkOptions } from '../base/work.ts';
import { type SyncSource, type SyncTarget, sync } from '../bridge/sync.ts';
import { bundleTarget } from '../bundle/bundle-target.ts';
import { openBundle } from '../bundle/open-bundle.ts';
import type { SnapshotInfo } from '../engine/snapshot.ts';
import type { TransferReport } from '../engine/transfer.ts';
import { element } from './dom.ts';
import { shortId } from './quantity.ts';

/** The browser reads the blob after the click, and does not say when it has. */
const KEPT_MS = 60_000;

/** Puts a snapshot into a file and has the browser save it. The file's bytes. */
export async function downloadSnapshot(
  source: SyncSource,
  snapshot: SnapshotInfo,
  options: WorkOptions,
): Promise<number> {
  const parts: Blob[] = [];
  const target = bundleTarget(async (bytes) => void parts.push(new Blob([bytes])));
  await sync(source, target, snapshot.id, { ...options, effort: 'balanced' });
  const file = new Blob(parts, { type: 'application/octet-stream' });
  const href = URL.createObjectURL(file);
  const name = `${snapshot.machine}-${shortId(snapshot.id)}.vitrine`;
  element('a', { attributes: { href, download: name } }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEPT_MS);
  return file.size;
}

/** Brings the snapshot of a file into a store. Throws `format-*` before anything is stored, and what the target throws. */
export async function takeFile(
  file: File,
  target: SyncTarget,
  options: WorkOptions,
): Promise<{ readonly snapshot: SnapshotInfo; readonly report: TransferReport }> {
  const bundle = await openBundle(() => bytesOf(file), options);
  const report = await sync(bundle, target, bundle.info.id, options);
  return { snapshot: bundle.info, report };
}

/** Asks the user for a file; null when none was chosen. */
export function chooseFile(): Promise<File | null> {
  const input = element('input', { attributes: { type: 'file', accept: '.vitrine' } });
  return new Promise((resolve) => {
    input.addEventListener('change', () => resolve(input.files?.[0] ?? null));
    input.addEventListener('cancel', () => resolve(null));
    input.click();
  });
}

async function* bytesOf(file: File): AsyncGenerator<OwnedBytes> {
  // Not `for await` over the stream itself: Safari has none (2026).
  const reader = file.stream().getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}
