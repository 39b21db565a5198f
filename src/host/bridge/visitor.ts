// Who asks, as far as headers tell: the Host against DNS rebinding, the Origin against foreign pages.
//
// A name that resolves to 127.0.0.1 makes a foreign page's Origin equal to its Host, so that neither check is enough
// without the other. `Host` may have any port: what comes through `ssh -L` has another one.

import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { Refusal } from './refusal.ts';

export interface DoorPolicy {
  /** Names beside localhost and literal addresses of the loopback, without ports. */
  readonly hosts: readonly string[];
  /** Origins beside the page's own. */
  readonly origins: readonly string[];
  /** How the page is reached: behind a proxy that speaks TLS for us both may be. */
  readonly schemes: readonly ('http' | 'https')[];
}

/** Throws `host-not-allowed` unless the request is addressed to this bridge. */
export function checkHost(headers: IncomingHttpHeaders, policy: DoorPolicy): void {
  const name = hostnameOf(headers.host);
  if (name !== undefined && (isLoopback(name) || policy.hosts.includes(name))) return;
  throw new Refusal('host-not-allowed');
}

/** Whether the request comes from a page that may ask; false when no page sent it. Throws `origin-not-allowed`. */
export function checkOrigin(headers: IncomingHttpHeaders, policy: DoorPolicy): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return false;
  // Exact texts: "null", a suffix, another port or scheme are none of ours.
  if (policy.schemes.some((scheme) => origin === `${scheme}://${host}`)) return true;
  if (policy.origins.includes(origin)) return true;
  throw new Refusal('origin-not-allowed');
}

/** Throws `site-not-allowed` where the browser says that a foreign page made it ask. */
export function checkFetchSite(headers: IncomingHttpHeaders, policy: DoorPolicy): void {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  // An allowed foreign origin is cross-site by its nature.
  if (headers.origin !== undefined && policy.origins.includes(headers.origin)) return;
  throw new Refusal('site-not-allowed');
}

/** Names and addresses that are this machine whatever a resolver says. */
export function isLoopback(name: string): boolean {
  if (name === 'localhost' || name === '::1') return true;
  return isIP(name) === 4 && name.startsWith('127.');
}

/** The name in a Host header, without port and brackets. */
function hostnameOf(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}
