// A manifest: what a snapshot is. It names the machine, the tables of its regions and device records and the
// snapshot it came from, and is itself named by the BLAKE3-256 digest of its bytes.
//
// SPEC.md, section 4, draws the bytes. There is one encoding for one manifest: what another writer could have
// written differently is refused. The rules for values are in `manifest-rules.ts`, for both directions.

import type { ByteReader } from '../base/byte-reader.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { DIGEST_BYTES, type Digest, isZeroDigest, ZERO_DIGEST } from './digest.ts';
import { checkManifestGiven, checkManifestRead, compareKeys } from './manifest-rules.ts';
import { openRecord, sealRecord } from './prefix.ts';
import type { Table } from './table.ts';

/** The machine a snapshot is of: it goes only into one with an equal description. */
export interface ManifestMachine {
  readonly kind: string;
  readonly version: string;
  readonly architecture: string;
  /** In ascending order of the UTF-8 bytes of its keys. */
  readonly config: Readonly<Record<string, string | number | boolean>>;
}

/** A region's table; its id is its place in the list. */
export interface ManifestRegion extends Table {
  readonly name: string;
  readonly kind: 'ram' | 'device' | 'disk' | 'other';
  readonly guestAddress: number | null;
}

/** A device record's table. */
export interface ManifestDevice extends Table {
  readonly name: string;
  /** The adapter's own version of the bytes, 32 bits. */
  readonly version: number;
}

/** What saving took. Counts, and the milliseconds the guest stood still. */
export interface ManifestStatistics {
  readonly pagesScanned: number;
  readonly pagesChanged: number;
  readonly objectsNew: number;
  readonly bytesWritten: number;
  readonly pauseMs: number;
}

export interface Manifest {
  readonly machine: ManifestMachine;
  /** What its user calls the machine; may be empty. */
  readonly name: string;
  /** What its user calls the snapshot; may be empty. */
  readonly label: string;
  /** Whole milliseconds since 1970-01-01 UTC. */
  readonly createdAtMs: number;
  /** The digest of the manifest it was saved on top of; null for a first one. */
  readonly parent: Digest | null;
  readonly regions: readonly ManifestRegion[];
  readonly devices: readonly ManifestDevice[];
  readonly statistics: ManifestStatistics;
}

const REGION_KINDS = ['ram', 'device', 'disk', 'other'] as const satisfies ManifestRegion['kind'][];
const VALUE_TAGS = { string: 1, number: 2, boolean: 3 } as const;

/**
 * The bytes of a manifest; equal manifests have equal bytes.
 *
 * Throws `argument-invalid`, with the field in its data, for a value that the format does not hold.
 */
export function encodeManifest(manifest: Manifest): OwnedBytes {
  checkManifestGiven(manifest);
  return sealRecord('manifest', (writer) => {
    writer.bytes(manifest.parent ?? ZERO_DIGEST);
    writer.u64(manifest.createdAtMs);
    writeStatistics(writer, manifest.statistics);
    writeText(writer, manifest.name);
    writeText(writer, manifest.label);
    writeMachine(writer, manifest.machine);
    writer.u16(manifest.regions.length);
    for (const region of manifest.regions) {
      writeText(writer, region.name);
      writer.u8(REGION_KINDS.indexOf(region.kind) + 1);
      writer.u8(region.guestAddress === null ? 0 : 1);
      writer.u64(region.guestAddress ?? 0);
      writeTable(writer, region);
    }
    writer.u16(manifest.devices.length);
    for (const device of manifest.devices) {
      writeText(writer, device.name);
      writer.u32(device.version);
      writeTable(writer, device);
    }
  });
}

/**
 * The manifest that bytes hold, sharing none of them.
 *
 * Total: for bytes that are not a manifest it throws a `format-*` code and nothing else.
 */
export function decodeManifest(bytes: OwnedBytes): Manifest {
  const reader = openRecord(bytes, 'manifest', LIMITS.maxManifestBytes);
  const parent = copyBytes(reader.bytes(DIGEST_BYTES));
  const createdAtMs = reader.u64();
  const statistics = readStatistics(reader);
  const name = readText(reader);
  const label = readText(reader);
  const machine = readMachine(reader);
  const regions: ManifestRegion[] = [];
  for (let left = readCount(reader, LIMITS.maxRegions); left > 0; left--) regions.push(readRegion(reader));
  const devices: ManifestDevice[] = [];
  for (let left = readCount(reader, LIMITS.maxDeviceRecords); left > 0; left--) {
    devices.push({ name: readText(reader), version: reader.u32(), ...readTable(reader) });
  }
  reader.end();
  const manifest: Manifest = {
    machine,
    name,
    label,
    createdAtMs,
    parent: isZeroDigest(parent) ? null : parent,
    regions,
    devices,
    statistics,
  };
  checkManifestRead(manifest);
  return manifest;
}

function writeStatistics(writer: ByteWriter, statistics: ManifestStatistics): void {
  writer.u64(statistics.pagesScanned);
  writer.u64(statistics.pagesChanged);
  writer.u64(statistics.objectsNew);
  writer.u64(statistics.bytesWritten);
  writer.f64(statistics.pauseMs);
}

function readStatistics(reader: ByteReader): ManifestStatistics {
  return {
    pagesScanned: reader.u64(),
    pagesChanged: reader.u64(),
    objectsNew: reader.u64(),
    bytesWritten: reader.u64(),
    pauseMs: reader.f64(),
  };
}

function writeMachine(writer: ByteWriter, machine: ManifestMachine): void {
  writeText(writer, machine.kind);
  writeText(writer, machine.version);
  writeText(writer, machine.architecture);
  const keys = Object.keys(machine.config).sort(compareKeys);
  writer.u16(keys.length);
  for (const key of keys) {
    writeText(writer, key);
    const value = machine.config[key]!;
    if (typeof value === 'string') {
      writer.u8(VALUE_TAGS.string);
      writeText(writer, value);
    } else if (typeof value === 'number') {
      writer.u8(VALUE_TAGS.number);
      writer.f64(value);
    } else {
      writer.u8(VALUE_TAGS.boolean);
      writer.u8(value ? 1 : 0);
    }
  }
}

function readMachine(reader: ByteReader): ManifestMachine {
  const kind = readText(reader);
  const version = readText(reader);
  const architecture = readText(reader);
  const entries: [string, string | number | boolean][] = [];
  for (let left = readCount(reader, LIMITS.maxConfigEntries); left > 0; left--) {
    const key = readText(reader);
    const previous = entries.at(-1);
    if (previous !== undefined && compareKeys(previous[0], key) >= 0) {
      reader.refuse('format-range', { field: 'machine.config order', key });
    }
    entries.push([key, readValue(reader)]);
  }
  // fromEntries defines own properties, so that a key of `__proto__` is a key like any other.
  return { kind, version, architecture, config: Object.fromEntries(entries) };
}

function readValue(reader: ByteReader): string | number | boolean {
  const tag = reader.u8();
  if (tag === VALUE_TAGS.string) return readText(reader);
  if (tag === VALUE_TAGS.number) return reader.f64();
  if (tag === VALUE_TAGS.boolean) return readFlag(reader);
  return reader.refuse('format-tag', { field: 'machine.config value', tag });
}

function readRegion(reader: ByteReader): ManifestRegion {
  const name = readText(reader);
  const tag = reader.u8();
  const kind = REGION_KINDS[tag - 1] ?? reader.refuse('format-tag', { field: 'region kind', tag });
  const addressed = readFlag(reader);
  const address = reader.u64();
  if (!addressed && address !== 0) reader.refuse('format-range', { field: 'region.guestAddress', address });
  return { name, kind, guestAddress: addressed ? address : null, ...readTable(reader) };
}

function writeTable(writer: ByteWriter, table: Table): void {
  writer.u64(table.sizeBytes);
  writer.u8(Math.log2(table.pageBytes));
  writer.bytes(table.root);
}

function readTable(reader: ByteReader): Table {
  const sizeBytes = reader.u64();
  const pageBits = reader.u8();
  if (pageBits > 16) reader.refuse('format-range', { field: 'pageBytes', exponent: pageBits });
  return { sizeBytes, pageBytes: 2 ** pageBits, root: copyBytes(reader.bytes(DIGEST_BYTES)) };
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes = new TextEncoder().encode(text);
  writer.u16(bytes.length);
  writer.bytes(bytes);
}

function readText(reader: ByteReader): string {
  return reader.text(reader.u16());
}

function readCount(reader: ByteReader, max: number): number {
  const count = reader.u16();
  if (count > max) reader.refuse('format-limit', { field: 'count', count, max });
  return count;
}

function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) reader.refuse('format-range', { field: 'flag', value });
  return value === 1;
}
