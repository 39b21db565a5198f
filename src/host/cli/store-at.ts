// A store at a path: a folder, or a bundle, which is only read.

import { createReadStream } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { VitrineError } from '../../base/error.ts';
import { type BundleFile, openBundleStore } from '../../bundle/bundle-store.ts';
import { openFsStore } from '../../store/fs-store.ts';
import type { Store } from '../../store/store.ts';

const READ_BYTES = 1024 * 1024;

export interface StorePlace {
  readonly path: string;
  readonly kind: 'folder' | 'bundle';
}

/** What is at a path. Throws `not-found`: a store that is missing would be made by being opened. */
export async function storePlace(store: string): Promise<StorePlace> {
  const info = await stat(store).catch(() => undefined);
  if (info?.isDirectory()) return { path: await realpath(store), kind: 'folder' };
  if (info?.isFile()) return { path: await realpath(store), kind: 'bundle' };
  throw new VitrineError('not-found', { store });
}

/** Opens it. Throws what reading throws, `format-*` for a file that is no whole bundle. */
export async function openStoreAt({ path, kind }: StorePlace): Promise<Store> {
  return kind === 'folder' ? openFsStore(path) : openBundleStore(await openBundleFile(path));
}

/** Throws `store-io`. */
async function openBundleFile(path: string): Promise<BundleFile> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new VitrineError('store-io', { file: path }, { cause });
  });
  return {
    read: () => createReadStream(path, { highWaterMark: READ_BYTES }),
    readRange: async ({ offsetBytes, lengthBytes }) => {
      const bytes = new Uint8Array(lengthBytes);
      let done = 0;
      while (done < lengthBytes) {
        const { bytesRead } = await file.read(bytes, done, lengthBytes - done, offsetBytes + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    },
    close: () => file.close(),
  };
}
