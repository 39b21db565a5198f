// Streams as tests read them: sources of chunks of any size, and all pages with what was parsed.

import { createHash } from 'node:crypto';
import { concatBytes, type OwnedBytes } from '../../../src/base/bytes.ts';
import {
  type ParsedStream,
  parseStream,
  type StreamContent,
  type StreamPage,
  synthesizeStream,
} from '../../../src/host/qemu/stream/index.ts';

/** All at once. */
export async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Chunks as long as `next` says. */
export async function* pieces(bytes: Uint8Array, next: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + next();
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** A byte at a time. */
export function drip(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  return pieces(bytes, () => 1);
}

/** What a stream says, with each page as it was told last, in the order in which they were told first. */
export async function read(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly parsed: ParsedStream; readonly pages: StreamPage[] }> {
  const pages = new Map<string, StreamPage>();
  const parsed = await parseStream(source, {
    onPage: (block, offset, content) => {
      const bytes = typeof content === 'number' ? content : content.slice();
      pages.set(`${block} ${offset}`, { block, offset, bytes });
    },
  });
  return { parsed, pages: [...pages.values()] };
}

/** What was read in brief: equal where all of it is, and quick to compare. The description is left out. */
export function briefOf({ parsed, pages }: Awaited<ReturnType<typeof read>>): unknown {
  const { vmdesc: _, pageCount: __, sections, ...rest } = parsed;
  const hash = createHash('sha256');
  for (const { block, offset, bytes } of pages) {
    hash.update(`${block} ${offset} `);
    // A fill may be written as a page.
    hash.update(typeof bytes === 'number' ? new Uint8Array(4096).fill(bytes) : bytes);
  }
  return {
    ...rest,
    sections: sections.map(({ body, ...section }) => ({
      ...section,
      lengthBytes: body.length,
      sha256: createHash('sha256').update(body).digest('hex'),
    })),
    pages: { count: pages.length, sha256: hash.digest('hex') },
  };
}

/** A synthesized stream in one array. */
export function joined(content: StreamContent): OwnedBytes {
  return concatBytes(synthesizeStream(content));
}
