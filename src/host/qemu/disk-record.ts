// What a snapshot knows of a disk, as a device record: JSON, so that a person can see which files it stands on.
//
//   {"sizeBytes": 67108864, "chain": [{"path", "format", "bytes", "modified"}, …]}     the uppermost file first

import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import type { FrozenFile } from './disk-layers.ts';

export interface DiskRecord {
  readonly name: string;
  readonly sizeBytes: number;
  readonly chain: readonly FrozenFile[];
}

const PREFIX = 'disk.';
const VERSION = 1;
/** A layer a save: QEMU reads through all of them. */
const MAX_CHAIN = 512;
const MAX_PATH = 4096;

export function isDiskRecord({ name }: DeviceRecord): boolean {
  return name.startsWith(PREFIX);
}

export function encodeDiskRecord({ name, sizeBytes, chain }: DiskRecord): DeviceRecord {
  const files = chain.map(({ path, format, bytes, modified }) => ({ path, format, bytes, modified }));
  const bytes = new TextEncoder().encode(JSON.stringify({ sizeBytes, chain: files }));
  return { name: PREFIX + name, version: VERSION, bytes };
}

/** Throws `guest-state-invalid` for anything that `encodeDiskRecord` does not write. */
export function decodeDiskRecord({ name, version, bytes }: DeviceRecord): DiskRecord {
  const refuse = (field: string): never => {
    throw new VitrineError('guest-state-invalid', { record: name, field });
  };
  if (version !== VERSION) refuse('version');
  let told: { readonly sizeBytes?: unknown; readonly chain?: unknown } | null = null;
  try {
    told = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    refuse('JSON');
  }
  const sizeBytes = told?.sizeBytes;
  const chain = told?.chain;
  if (!isCount(sizeBytes) || sizeBytes % 512 !== 0 || sizeBytes === 0) return refuse('sizeBytes');
  if (!Array.isArray(chain) || chain.length === 0 || chain.length > MAX_CHAIN) return refuse('chain');
  const files = chain.map((file: Partial<FrozenFile> | null) => {
    const { path, format, bytes: length, modified } = file ?? {};
    const isPath = typeof path === 'string' && path !== '' && path.length <= MAX_PATH && !path.includes('\0');
    // A layer's name leads nowhere but into its folder.
    if (!isPath || (!path.startsWith('/') && path.includes('/'))) return refuse('path');
    if (format !== 'raw' && format !== 'qcow2') return refuse('format');
    if (!isCount(length)) return refuse('bytes');
    if (typeof modified !== 'string' || !/^\d{1,20}$/.test(modified)) return refuse('modified');
    return { path, format, bytes: length, modified };
  });
  return { name: name.slice(PREFIX.length), sizeBytes, chain: files };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
