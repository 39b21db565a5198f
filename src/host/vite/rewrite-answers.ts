// A server's answers, rewritten as they leave: what it would have sent is collected, and goes out changed when it is a
// WebAssembly module. All else, errors and pages too, goes out as it is.

import type { IncomingMessage, ServerResponse } from 'node:http';

export type Middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

export interface RewriteAnswersOptions {
  /** Whether a request for that path is to be looked at. */
  readonly wants: (path: string) => boolean;
  readonly rewrite: (module: Uint8Array) => Uint8Array;
  /** Told when `rewrite` threw; the answer is then a 500. */
  readonly report: (message: string) => void;
}

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
/** With one of these Vite answers a script that names or holds the module. */
const SCRIPT_QUERY = /[?&](import|url|init|inline|raw|worker)\b/;
/** They would have the server answer from a cache that knows nothing of us, or in parts. */
const CACHE_HEADERS = ['if-none-match', 'if-modified-since', 'range', 'if-range'];

export function rewriteAnswers({ wants, rewrite, report }: RewriteAnswersOptions): Middleware {
  return (request, response, next) => {
    const url = request.url ?? '';
    if (request.method !== 'GET' || SCRIPT_QUERY.test(url) || !wants(pathOf(url))) {
      next();
      return;
    }
    for (const name of CACHE_HEADERS) delete request.headers[name];
    collect(response, (body) => {
      if (response.statusCode !== 200 || !MAGIC.every((byte, at) => body[at] === byte)) return body;
      response.removeHeader('etag');
      response.setHeader('cache-control', 'no-store');
      try {
        return rewrite(body);
      } catch (error) {
        const message = `${pathOf(url)}: ${codeOf(error)}${error instanceof Error ? error.message : String(error)}`;
        report(message);
        response.statusCode = 500;
        response.setHeader('content-type', 'text/plain');
        return new TextEncoder().encode(message);
      }
    });
    next();
  };
}

/** Holds the answer back until it is whole, then sends what `change` makes of it. */
function collect(response: ServerResponse, change: (body: Uint8Array) => Uint8Array): void {
  const chunks: Buffer[] = [];
  const end = response.end.bind(response);
  const writeHead = response.writeHead.bind(response);
  const keep = (chunk: unknown, encoding: unknown): void => {
    if (typeof chunk === 'string') {
      chunks.push(Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'));
    } else if (chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
  };
  const lastFunction = (args: readonly unknown[]): (() => void) | undefined =>
    args.find((one): one is () => void => typeof one === 'function');
  // Safe: these stand in for overloads whose arguments are passed on or looked at one by one.
  Object.assign(response, {
    writeHead: (status: number, ...rest: unknown[]) => {
      response.statusCode = status;
      const headers = rest.find((one) => typeof one === 'object' && one !== null) as
        | Record<string, string | number | readonly string[]>
        | undefined;
      for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
      return response;
    },
    write: (chunk: unknown, ...rest: unknown[]) => {
      keep(chunk, rest[0]);
      const done = lastFunction(rest);
      if (done !== undefined) queueMicrotask(done);
      return true;
    },
    end: (...args: unknown[]) => {
      if (typeof args[0] !== 'function') keep(args[0], args[1]);
      Object.assign(response, { end, writeHead });
      const body = change(Buffer.concat(chunks));
      if (response.statusCode !== 304) response.setHeader('content-length', body.length);
      return end(body, lastFunction(args));
    },
  });
}

function pathOf(url: string): string {
  const path = url.replace(/[?#].*$/, '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? `${code}: ` : '';
}
