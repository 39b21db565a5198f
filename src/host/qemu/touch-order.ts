// The order in which a machine first touched its pages after it was restored, kept for the next time: a snapshot that goes on twice
// begins alike both times, and pages that are sent before they are asked for cost it no wait.
//
//   | Offset | Size | Field                                                |
//   |--------|------|------------------------------------------------------|
//   | 0      | 8    | "VTOUCH1\n"                                          |
//   | 8      | 5 n  | pages: u8 block, u32 page in the block, little-endian |
//
// It is a hint and no more: a file that is damaged or of another machine costs time and nothing else.

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OwnedBytes } from '../../base/bytes.ts';
import type { PageRef } from './page-server.ts';

const MAGIC = 'VTOUCH1\n';
const ENTRY_BYTES = 5;
const PAGE_BYTES = 4096;
/** What goes before the rest: 256 MiB of pages. More would be the rest. */
const MAX_PAGES = 65_536;

export function encodeTouchOrder(pages: readonly PageRef[]): OwnedBytes {
  const known = pages.filter(({ block }) => block < 256).slice(0, MAX_PAGES);
  const bytes = new Uint8Array(MAGIC.length + ENTRY_BYTES * known.length);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  for (const [index, { block, offset }] of known.entries()) {
    const at = MAGIC.length + ENTRY_BYTES * index;
    view.setUint8(at, block);
    view.setUint32(at + 1, offset / PAGE_BYTES, true);
  }
  return bytes;
}

/** The pages of a file, as many as can be read; none of one that is something else. */
export function decodeTouchOrder(bytes: Uint8Array): PageRef[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = new TextDecoder('latin1').decode(bytes.subarray(0, MAGIC.length));
  const pages: PageRef[] = [];
  if (magic !== MAGIC) return pages;
  for (
    let at = MAGIC.length;
    at + ENTRY_BYTES <= bytes.length && pages.length < MAX_PAGES;
    at += ENTRY_BYTES
  ) {
    pages.push({ block: view.getUint8(at), offset: view.getUint32(at + 1, true) * PAGE_BYTES });
  }
  return pages;
}

/** Orders in a folder, a file a snapshot. */
export class TouchOrders {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What was kept for a snapshot; nothing where there is nothing. */
  async load(snapshot: string): Promise<PageRef[]> {
    try {
      return decodeTouchOrder(await readFile(this.#fileOf(snapshot)));
    } catch {
      return [];
    }
  }

  /** Keeps what was known, and behind it what was asked for in spite of it. */
  async keep(snapshot: string, known: readonly PageRef[], asked: readonly PageRef[]): Promise<void> {
    const file = this.#fileOf(snapshot);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFile(`${file}.next`, encodeTouchOrder([...known, ...asked]), { mode: 0o600 });
    await rename(`${file}.next`, file);
  }

  /** Removes what was kept for other snapshots than these. Throws what the platform throws. */
  async tidy(snapshots: readonly string[]): Promise<void> {
    const files = await readdir(this.#folder).catch(() => []);
    const known = new Set(snapshots.map((snapshot) => this.#fileOf(snapshot)));
    const gone = files.map((name) => join(this.#folder, name)).filter((file) => !known.has(file));
    await Promise.all(gone.map((file) => rm(file, { force: true })));
  }

  #fileOf(snapshot: string): string {
    return join(this.#folder, `${snapshot}.touch`);
  }
}
