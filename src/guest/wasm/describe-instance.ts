// What a program's memory and marks let a guest say of itself.

import { isShared, type SharedMemory } from '../../memory/shared-memory.ts';
import type { GuestTraits } from '../guest.ts';
import type { MarkedMemory } from './marked-memory.ts';

/** As v86: proven on the first saves. */
const AUDIT_SCANS = 3;

/** How its writes are known, and whether others can read it. */
export function traitsOf(
  marked: MarkedMemory | undefined,
  memory: WebAssembly.Memory | undefined,
): GuestTraits {
  const sharedMemory = memory !== undefined && isShared(memory.buffer);
  if (marked === undefined) return { tracking: 'none', sharedMemory };
  const tracking = marked.layout.kind === 'barriers' ? 'barrier' : 'marks';
  return { tracking, auditScans: AUDIT_SCANS, sharedMemory };
}

/** Where the one region lies as far as it has come, `bytes`; undefined where that is not shared. */
export function sharedMemoryOf({ buffer, length }: Uint8Array): SharedMemory | undefined {
  if (!isShared(buffer)) return undefined;
  return { regions: [{ region: 0, buffer, offsetBytes: 0, sizeBytes: length }] };
}
