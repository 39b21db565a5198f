// A snapshot as the engine sees it: its manifest, proven by digest, and the names it goes by.

import { toHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Digest } from '../format/digest.ts';
import { decodeManifest, type Manifest } from '../format/manifest.ts';
import type { MachineDescription } from '../guest/guest.ts';
import type { Region } from '../memory/region.ts';
import type { Key, Store } from '../store/store.ts';
import type { Digester } from './digester.ts';

/** The digest of a snapshot's manifest, as 64 hexadecimal digits. */
export type SnapshotId = string;

/** What a list of snapshots shows. */
export interface SnapshotInfo {
  readonly id: SnapshotId;
  readonly parent: SnapshotId | null;
  /** The machine it was taken of, by its name in this store. */
  readonly machine: string;
  readonly kind: string;
  readonly label: string;
  readonly createdAtMs: number;
  readonly statistics: Manifest['statistics'];
  /** Bytes of all regions. */
  readonly memoryBytes: number;
}

export const MANIFEST_PREFIX = 'manifests/';
export const SNAPSHOT_REF_PREFIX = 'refs/snapshots/';
export const HEAD_REF_PREFIX = 'refs/heads/';

export function manifestKey(id: SnapshotId): Key {
  return `${MANIFEST_PREFIX}${id}`;
}

export function snapshotRef(id: SnapshotId): Key {
  return `${SNAPSHOT_REF_PREFIX}${id}`;
}

export function headRef(machine: string): Key {
  return `${HEAD_REF_PREFIX}${machine}`;
}

/** Names of machines, since they become keys. */
export const MACHINE_NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Reads a manifest. Throws `not-found`, `object-damaged`, `format-*`. */
export async function loadManifest(store: Store, digester: Digester, id: SnapshotId): Promise<Manifest> {
  const bytes = await store.get(manifestKey(id));
  if (bytes === undefined) throw new VitrineError('not-found', { snapshot: id });
  const digest = toHex(digester.digest(bytes));
  if (digest !== id) throw new VitrineError('object-damaged', { manifest: id, found: digest });
  return decodeManifest(bytes);
}

/** The digest behind an id that is known to be one. */
export function infoOf(id: SnapshotId, manifest: Manifest): SnapshotInfo {
  return {
    id,
    parent: manifest.parent === null ? null : toHex(manifest.parent),
    machine: manifest.name,
    kind: manifest.machine.kind,
    label: manifest.label,
    createdAtMs: manifest.createdAtMs,
    statistics: manifest.statistics,
    memoryBytes: manifest.regions.reduce((sum, region) => sum + region.sizeBytes, 0),
  };
}

/**
 * Throws `guest-mismatch` naming the first field in which a snapshot's machine differs from a guest: its kind,
 * version, architecture, a field of its configuration, or a region.
 */
export function checkSameMachine(
  manifest: Manifest,
  machine: MachineDescription,
  regions: readonly Region[],
): void {
  const compare = (field: string, snapshot: unknown, guest: unknown): void => {
    if (snapshot === guest) return;
    throw new VitrineError('guest-mismatch', {
      field,
      snapshot: snapshot === undefined ? 'absent' : (snapshot as string | number | boolean | null),
      guest: guest === undefined ? 'absent' : (guest as string | number | boolean | null),
    });
  };
  compare('kind', manifest.machine.kind, machine.kind);
  compare('version', manifest.machine.version, machine.version);
  compare('architecture', manifest.machine.architecture, machine.architecture);
  const names = new Set([...Object.keys(machine.config), ...Object.keys(manifest.machine.config)]);
  for (const name of [...names].sort()) {
    compare(`config.${name}`, manifest.machine.config[name], machine.config[name]);
  }
  compare('regions.length', manifest.regions.length, regions.length);
  for (const [index, region] of regions.entries()) {
    const saved = manifest.regions[index];
    compare(`regions.${index}.name`, saved?.name, region.name);
    for (const field of ['kind', 'guestAddress', 'sizeBytes', 'pageBytes'] as const) {
      compare(`regions.${region.name}.${field}`, saved?.[field], region[field]);
    }
  }
}

/** The same digest, or both absent. */
export function sameDigest(a: Digest | null, b: Digest | null): boolean {
  if (a === null || b === null) return a === b;
  return a.every((byte, index) => byte === b[index]);
}
