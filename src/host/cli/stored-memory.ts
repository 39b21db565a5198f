// The physical memory of a snapshot over whatever leads to it: a bridge, or its store.

import type { OwnedBytes } from '../../base/bytes.ts';
import type { Manifest } from '../../format/manifest.ts';
import { PhysicalMemory, type PhysicalRange } from '../forensics/physical-memory.ts';

/** What reads a snapshot's memory. */
interface SnapshotReader {
  peek(snapshot: string, ranges: readonly PhysicalRange[]): Promise<readonly OwnedBytes[]>;
}

export function storedMemory(
  client: SnapshotReader,
  { id, manifest }: { readonly id: string; readonly manifest: Manifest },
): PhysicalMemory {
  return new PhysicalMemory(ramIn(manifest.regions), async (address, lengthBytes) => {
    const [bytes] = await client.peek(id, [{ address, lengthBytes }]);
    return bytes!;
  });
}

/** The regions of a machine that are RAM at physical addresses. */
export function ramIn(
  regions: readonly {
    readonly kind: string;
    readonly guestAddress: number | null;
    readonly sizeBytes: number;
  }[],
): PhysicalRange[] {
  return regions.flatMap(({ kind, guestAddress, sizeBytes }) =>
    kind === 'ram' && guestAddress !== null ? [{ address: guestAddress, lengthBytes: sizeBytes }] : [],
  );
}
