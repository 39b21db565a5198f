// Files of one folder, for GET and HEAD. A path is taken only if each segment is a plain name: nothing is decoded, so
// that there is no second spelling of "..", and a link that leads out of the folder leads nowhere.

import { type FileHandle, open, realpath } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Refusal } from './refusal.ts';

const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$/;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

export class StaticFolder {
  readonly #root: string;

  /** `root` without links in it; `openStaticFolder` sees to that. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Answers with the file at `path`, segments with slashes between them. Throws the refusal `path-unknown`. */
  async serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const file = await this.#open(path);
    try {
      const { size, mtimeMs } = await file.stat();
      const tag = `"${size.toString(16)}-${Math.floor(mtimeMs).toString(16)}"`;
      response.setHeader('ETag', tag);
      // Names under assets/ hold a hash of what is in them.
      const isFixed = path.startsWith('assets/');
      response.setHeader('Cache-Control', isFixed ? 'public, max-age=31536000, immutable' : 'no-cache');
      if (request.headers['if-none-match'] === tag) {
        response.writeHead(304).end();
        return;
      }
      response.writeHead(200, {
        'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
        'Content-Length': size,
      });
      if (request.method === 'HEAD' || size === 0) {
        response.end();
        return;
      }
      // No more than was announced: a file that grows meanwhile would break the connection for the next request.
      await pipeline(file.createReadStream({ start: 0, end: size - 1, autoClose: false }), response);
    } finally {
      await file.close();
    }
  }

  /** Whether there is a file at `path`. */
  async has(path: string): Promise<boolean> {
    const file = await this.#open(path).catch(() => undefined);
    await file?.close();
    return file !== undefined;
  }

  /** A file as text. Throws the refusal `path-unknown`. */
  async readText(path: string): Promise<string> {
    const file = await this.#open(path);
    try {
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  }

  async #open(path: string): Promise<FileHandle> {
    const segments = path.split('/');
    if (!segments.every((segment) => SEGMENT.test(segment))) throw new Refusal('path-unknown');
    const named = join(this.#root, ...segments);
    const real = await realpath(named).catch(() => undefined);
    if (real === undefined || !real.startsWith(this.#root + sep)) throw new Refusal('path-unknown');
    const file = await open(real, 'r').catch(() => undefined);
    if (file === undefined) throw new Refusal('path-unknown');
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw new Refusal('path-unknown');
  }
}

/** The folder at `path`; undefined when there is none. */
export async function openStaticFolder(path: string): Promise<StaticFolder | undefined> {
  const root = await realpath(path).catch(() => undefined);
  return root === undefined ? undefined : new StaticFolder(root);
}
