// All of a paused guest's state, taken and put back by the port alone, and what two such instants differ in. Bytes are
// compared here: test runners take seconds for a megabyte.

import { copyBytes, equalBytes } from '../../base/bytes.ts';
import type { DeviceRecord, Guest } from '../../guest/guest.ts';
import type { PageSet } from '../../memory/page-set.ts';
import { pageCountOf } from '../../memory/region.ts';
import type { Span } from '../../memory/span.ts';

export interface Instant {
  /** The bytes of each region. */
  readonly memory: readonly Uint8Array[];
  readonly devices: readonly DeviceRecord[];
}

/** Copies a span out of the paused guest. */
export async function readSpan(guest: Guest, span: Span): Promise<Uint8Array> {
  const bytes = new Uint8Array(span.lengthBytes);
  await guest.readPages(span, bytes);
  return bytes;
}

/** Copies everything out of the paused guest. */
export async function takeInstant(guest: Guest): Promise<Instant> {
  const memory: Uint8Array[] = [];
  for (const { id, sizeBytes } of guest.regions) {
    memory.push(await readSpan(guest, { region: id, offsetBytes: 0, lengthBytes: sizeBytes }));
  }
  const devices = await guest.saveDevices();
  return { memory, devices: devices.map((record) => ({ ...record, bytes: copyBytes(record.bytes) })) };
}

/** Puts an instant into the paused guest as a restore does: the pages that differ, then the devices. */
export async function putInstant(guest: Guest, instant: Instant): Promise<void> {
  for (const { id, sizeBytes, pageBytes } of guest.regions) {
    const target = instant.memory[id]!;
    const present = await readSpan(guest, { region: id, offsetBytes: 0, lengthBytes: sizeBytes });
    for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += pageBytes) {
      const page = target.subarray(offsetBytes, offsetBytes + pageBytes);
      if (equalBytes(page, present.subarray(offsetBytes, offsetBytes + pageBytes))) continue;
      await guest.writePages({ region: id, offsetBytes, lengthBytes: page.length }, page);
    }
  }
  await guest.loadDevices(instant.devices);
}

/** The first difference of two instants in words, or `none`. */
export function differenceOf(a: Instant, b: Instant): string {
  for (const [region, bytes] of a.memory.entries()) {
    const other = b.memory[region]!;
    if (equalBytes(bytes, other)) continue;
    const at = bytes.findIndex((byte, i) => byte !== other[i]);
    return `region ${region} at ${at}: ${bytes[at]} and ${other[at]}`;
  }
  return differenceOfDevices(a.devices, b.devices);
}

/** The first difference of two lists of device records in words, or `none`. */
export function differenceOfDevices(a: readonly DeviceRecord[], b: readonly DeviceRecord[]): string {
  const names = (records: readonly DeviceRecord[]) =>
    records.map((one) => `${one.name}@${one.version}`).join();
  if (names(a) !== names(b)) return `records ${names(a)} and ${names(b)}`;
  for (const [index, { name, bytes }] of a.entries()) {
    const other = b[index]!.bytes;
    if (equalBytes(bytes, other)) continue;
    const at = bytes.findIndex((byte, i) => byte !== other[i]);
    return `record ${name} at ${at}: ${bytes[at]} and ${other[at]} (${bytes.length}, ${other.length} bytes)`;
  }
  return 'none';
}

/**
 * Pages that changed from `before` to `after` and are not in `told`, as `region:page`; before the first instant all
 * memory is zeros, as in a tracker that saw nothing yet.
 */
export function missedPages(
  guest: Guest,
  told: readonly (PageSet | null)[],
  before: Instant | undefined,
  after: Instant,
): string[] {
  const missed: string[] = [];
  for (const region of guest.regions) {
    const pages = told[region.id];
    if (pages === null) continue;
    const old = before?.memory[region.id] ?? new Uint8Array(region.sizeBytes);
    for (let page = 0; page < pageCountOf(region); page++) {
      const start = page * region.pageBytes;
      const end = start + region.pageBytes;
      const equal = equalBytes(old.subarray(start, end), after.memory[region.id]!.subarray(start, end));
      if (!equal && !pages?.has(page)) missed.push(`${region.id}:${page}`);
    }
  }
  return missed;
}
