// The bridge over plain HTTP: a session for a key, a ticket for a session, whether it lives, what it counts. Everything
// else is a file of the page. README.md has requests and answers.

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { isVitrineError } from '../../base/error.ts';
import { PERMISSIONS } from '../../bridge/grant.ts';
import { MACHINE_NAME_PATTERN } from '../../engine/snapshot.ts';
import { EVERY_MACHINE, narrowGrant, readPermissions } from './grant.ts';
import type { Identity, Keyring } from './keyring.ts';
import { Refusal } from './refusal.ts';
import type { ServerLimits } from './server-limits.ts';
import type { StaticFolder } from './static-folder.ts';
import { BRIDGE_PATH, SUBPROTOCOL } from './upgrade.ts';
import { checkFetchSite, checkHost, checkOrigin, type DoorPolicy } from './visitor.ts';

/** The list of images; a bridge may have none. */
const GUESTS_MANIFEST = '/guests/manifest.json';

export interface RoutesOptions {
  readonly policy: DoorPolicy;
  readonly limits: ServerLimits;
  readonly keyring: Keyring;
  readonly page: StaticFolder | undefined;
  /** Images of guests, at /guests/. */
  readonly images: StaticFolder | undefined;
  /** Name and attributes of the session's cookie. */
  cookie(): { readonly name: string; readonly attributes: string };
  /** The address that opens a session with that key. */
  addressOf(key: string): string;
  metricsText(): string;
  /** Told with each `healthz`. */
  health(): Readonly<Record<string, string | number | boolean>>;
}

type Handler = (request: IncomingMessage, response: ServerResponse, routes: RoutesOptions) => Promise<void>;

const ROUTES: Readonly<Record<string, { readonly method: string; readonly handle: Handler }>> = {
  '/session': { method: 'POST', handle: openSession },
  '/session/close': { method: 'POST', handle: closeSession },
  '/ticket': { method: 'POST', handle: mintTicket },
  '/key': { method: 'POST', handle: mintKey },
  '/healthz': { method: 'GET', handle: tellHealth },
  '/metrics': { method: 'GET', handle: tellMetrics },
};

/** Answers a request. Throws a `Refusal` before anything was written. */
export async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  routes: RoutesOptions,
): Promise<void> {
  checkHost(request.headers, routes.policy);
  const [path = '/'] = (request.url ?? '/').split('?');
  if (path === BRIDGE_PATH) throw new Refusal('upgrade-required');
  const route = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
  if (route !== undefined) {
    if (request.method !== route.method) {
      response.setHeader('Allow', route.method);
      throw new Refusal('method-not-allowed');
    }
    response.setHeader('Cache-Control', 'no-store');
    await route.handle(request, response, routes);
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    throw new Refusal('method-not-allowed');
  }
  if (path === '/' || path === '/index.html') {
    await servePage(request, response, routes);
    return;
  }
  if (path === GUESTS_MANIFEST && !(await routes.images?.has('manifest.json'))) {
    // Pages ask whether there are images: that there are none is an answer.
    response.writeHead(204).end();
    return;
  }
  const isImage = path.startsWith('/guests/');
  const folder = isImage ? routes.images : routes.page;
  if (folder === undefined) throw new Refusal('path-unknown');
  await folder.serve(path.slice(isImage ? '/guests/'.length : 1), request, response);
}

/** The page, which is told by a mark that a bridge serves it: elsewhere it asks for none. */
async function servePage(
  request: IncomingMessage,
  response: ServerResponse,
  { page }: RoutesOptions,
): Promise<void> {
  if (page === undefined) throw new Refusal('path-unknown');
  const html = await page.readText('index.html');
  const marked = html.replace('</head>', `<meta name="vitrine-bridge" content="${SUBPROTOCOL}" /></head>`);
  response.writeHead(200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': Buffer.byteLength(marked),
    'Cache-Control': 'no-cache',
  });
  response.end(request.method === 'HEAD' ? undefined : marked);
}

/** A page that came by the printed address: its key becomes a cookie and a proof. */
async function openSession(
  request: IncomingMessage,
  response: ServerResponse,
  routes: RoutesOptions,
): Promise<void> {
  checkPage(request.headers, routes);
  const { key } = await readBody(request, routes.limits);
  if (typeof key !== 'string') throw new Refusal('body-invalid');
  const { cookie, proof, identity } = routes.keyring.openSession(key);
  const { name, attributes } = routes.cookie();
  response.setHeader('Set-Cookie', `${name}=${cookie}; ${attributes}`);
  writeJson(response, { subject: identity.grant.subject, proof });
}

async function closeSession(
  request: IncomingMessage,
  response: ServerResponse,
  routes: RoutesOptions,
): Promise<void> {
  checkPage(request.headers, routes);
  const cookie = cookieOf(request.headers, routes);
  routes.keyring.session(cookie, request.headers);
  routes.keyring.closeSession(cookie!);
  const { name, attributes } = routes.cookie();
  response.setHeader('Set-Cookie', `${name}=; ${attributes}; Max-Age=0`);
  writeJson(response, {});
}

/** A ticket for one connection, with all that its holder may do or a part of it. */
async function mintTicket(
  request: IncomingMessage,
  response: ServerResponse,
  routes: RoutesOptions,
): Promise<void> {
  const holder = visitor(request.headers, routes);
  const { machine = EVERY_MACHINE, permissions } = await readBody(request, routes.limits);
  if (typeof machine !== 'string' || !(machine === EVERY_MACHINE || MACHINE_NAME_PATTERN.test(machine))) {
    throw new Refusal('body-invalid');
  }
  const grant =
    permissions === undefined
      ? narrowGrant(holder.grant, { machine, permissions: PERMISSIONS })
      : narrowGrant(holder.grant, { machine, permissions: permissionsOf(holder, machine, permissions) });
  const ticket = routes.keyring.mintTicket({ id: holder.id, grant });
  writeJson(response, { ticket, expiresInMs: routes.limits.ticketMs });
}

/** Those named, if the holder has them all. */
function permissionsOf({ grant }: Identity, machine: string, value: unknown) {
  try {
    const permissions = readPermissions(value, 'permissions');
    const lacks = permissions.some((permission) => !grant.allows({ permission, verb: 'ticket', machine }));
    if (lacks) throw new Refusal('permission-denied');
    return permissions;
  } catch (error) {
    throw isVitrineError(error) ? new Refusal('body-invalid') : error;
  }
}

/** Another address to open, for whoever holds a token, or from the owner for another; the page opens as that one. */
async function mintKey(
  request: IncomingMessage,
  response: ServerResponse,
  { keyring, limits, addressOf, policy }: RoutesOptions,
): Promise<void> {
  checkOrigin(request.headers, policy);
  const holder = keyring.bearer(request.headers);
  if (holder === undefined) throw new Refusal('token-invalid');
  const { for: name } = await readBody(request, limits);
  if (name !== undefined && typeof name !== 'string') throw new Refusal('body-invalid');
  if (name !== undefined && holder !== keyring.owner) throw new Refusal('permission-denied');
  const visitor = name === undefined ? holder : keyring.named(name);
  if (visitor === undefined) throw new Refusal('visitor-unknown');
  writeJson(response, { address: addressOf(keyring.mintKey(visitor)), expiresInMs: limits.keyMs });
}

async function tellHealth(
  _request: IncomingMessage,
  response: ServerResponse,
  routes: RoutesOptions,
): Promise<void> {
  writeJson(response, { status: 'ok', ...routes.health() });
}

async function tellMetrics(
  request: IncomingMessage,
  response: ServerResponse,
  routes: RoutesOptions,
): Promise<void> {
  const { grant } = visitor(request.headers, routes);
  if (!grant.allows({ permission: 'observe', verb: 'metrics', machine: EVERY_MACHINE })) {
    throw new Refusal('permission-denied');
  }
  const text = routes.metricsText();
  response.writeHead(200, {
    'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** Who asks: the holder of a bearer token, or a page with its session. */
function visitor(headers: IncomingHttpHeaders, routes: RoutesOptions): Identity {
  const isPage = checkOrigin(headers, routes.policy);
  const bearer = routes.keyring.bearer(headers);
  if (bearer !== undefined) return bearer;
  if (!isPage) throw new Refusal('origin-missing');
  checkFetchSite(headers, routes.policy);
  return routes.keyring.session(cookieOf(headers, routes), headers);
}

/** Throws unless a page asks that may. */
function checkPage(headers: IncomingHttpHeaders, { policy }: RoutesOptions): void {
  if (!checkOrigin(headers, policy)) throw new Refusal('origin-missing');
  checkFetchSite(headers, policy);
}

function cookieOf(headers: IncomingHttpHeaders, routes: RoutesOptions): string | undefined {
  const start = `${routes.cookie().name}=`;
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(start))?.slice(start.length);
}

/** A small JSON object. Its type is asked for: a form of a foreign page cannot send that one without asking first. */
async function readBody(request: IncomingMessage, limits: ServerLimits): Promise<Record<string, unknown>> {
  if (!/^application\/json(;|$)/.test(request.headers['content-type'] ?? '')) {
    throw new Refusal('body-invalid');
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  // A request that is destroyed takes the answer with it.
  const body: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > limits.bodyBytes) throw new Refusal('body-too-large');
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      // Safe: an object; each field is looked at by who reads it.
      return value as Record<string, unknown>;
    }
  } catch {
    // Not JSON: refused below.
  }
  throw new Refusal('body-invalid');
}

function writeJson(response: ServerResponse, value: object): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
