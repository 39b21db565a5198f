// Manifests, by SPEC.md section 5.

import { type Cursor, hex, openBody, refuse } from './cursor.ts';

export interface ReadTable {
  sizeBytes: number;
  pageBytes: number;
  /** Hexadecimal; zeros for a table of zeros. */
  root: string;
}

export interface ReadManifest {
  parent: string | null;
  createdAtMs: number;
  statistics: Record<string, number>;
  name: string;
  label: string;
  machine: { kind: string; version: string; architecture: string };
  config: [key: string, value: string | number | boolean][];
  regions: ({ name: string; kind: string; guestAddress: number | null } & ReadTable)[];
  devices: ({ name: string; version: number } & ReadTable)[];
}

export const ZEROS = '0'.repeat(64);

export function readManifest(data: Uint8Array): ReadManifest {
  if (data.length > 4 << 20) refuse('manifest over 4 MiB');
  const c = openBody(data, 'VMAN');
  const parent = hex(c.take(32));
  const createdAtMs = c.uint(8);
  const statistics = {
    pagesScanned: c.uint(8),
    pagesChanged: c.uint(8),
    objectsNew: c.uint(8),
    bytesWritten: c.uint(8),
    pauseMs: c.double(),
  };
  if (statistics.pauseMs < 0) refuse('negative pause');
  const name = bounded(c, 0, 255);
  const label = bounded(c, 0, 1024);
  const machine = { kind: bounded(c, 1, 255), version: bounded(c, 0, 255), architecture: bounded(c, 0, 255) };
  const config = list(c, 1024, () => [bounded(c, 1, 255), value(c)] as ReadManifest['config'][number]);
  for (const [i, [key]] of config.entries()) {
    if (i > 0 && Buffer.compare(Buffer.from(config[i - 1]![0]), Buffer.from(key)) >= 0)
      refuse('config order');
  }
  const regions = list(c, 256, () => region(c));
  const devices = list(c, 4096, () => ({ name: bounded(c, 1, 255), version: c.uint(4), ...table(c) }));
  c.end();
  for (const named of [regions, devices]) {
    if (new Set(named.map((one) => one.name)).size !== named.length) refuse('a name twice');
  }
  return {
    parent: parent === ZEROS ? null : parent,
    createdAtMs,
    statistics,
    name,
    label,
    machine,
    config,
    regions,
    devices,
  };
}

function region(c: Cursor): ReadManifest['regions'][number] {
  const name = bounded(c, 1, 255);
  const kind = ['ram', 'device', 'disk', 'other'][c.uint(1) - 1] ?? refuse('region kind');
  const addressed = c.flag();
  const address = c.uint(8);
  if (!addressed && address !== 0) refuse('an address that is none');
  const rest = table(c);
  if (address + rest.sizeBytes > Number.MAX_SAFE_INTEGER) refuse('region end');
  return { name, kind, guestAddress: addressed ? address : null, ...rest };
}

function table(c: Cursor): ReadTable {
  const sizeBytes = c.uint(8);
  if (sizeBytes > 2 ** 48) refuse('table size');
  const power = c.uint(1);
  if (power < 8 || power > 16) refuse('page length');
  const root = hex(c.take(32));
  if (sizeBytes === 0 && root !== ZEROS) refuse('a root of no pages');
  return { sizeBytes, pageBytes: 1 << power, root };
}

function value(c: Cursor): string | number | boolean {
  const tag = c.uint(1);
  if (tag === 1) return bounded(c, 0, 4096);
  if (tag === 2) return c.double();
  if (tag === 3) return c.flag();
  return refuse(`config tag ${tag}`);
}

function bounded(c: Cursor, min: number, max: number): string {
  const before = c.left;
  const text = c.text();
  const length = before - c.left - 2;
  if (length < min || length > max) refuse(`text of ${length} bytes`);
  return text;
}

function list<T>(c: Cursor, max: number, one: () => T): T[] {
  const count = c.uint(2);
  if (count > max) refuse(`list of ${count}`);
  return Array.from({ length: count }, one);
}
