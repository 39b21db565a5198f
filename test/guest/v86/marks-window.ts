// What a v86 guest marked while something happened to it, against a full compare of its RAM.

import type { V86Guest } from '../../../src/guest/v86/index.ts';
import { paused } from './machines.ts';

const PAGE_BYTES = 4096;

export interface MarksWindow {
  readonly changed: readonly number[];
  readonly marked: readonly number[];
  /** Changed and not marked: lost writes. */
  readonly missed: readonly number[];
}

/** Lets `work` happen between two takes. The guest may run before, meanwhile and after. */
export async function marksWindow(guest: V86Guest, work: () => unknown): Promise<MarksWindow> {
  const before = await paused(guest, () => {
    guest.takeDirty().commit();
    return guest.view(0)!.slice();
  });
  await work();
  return paused(guest, () => {
    const take = guest.takeDirty();
    take.commit();
    const pages = take.pages[0];
    if (pages === null || pages === undefined) throw new Error('the guest does not mark its RAM');
    const after = guest.view(0)!;
    const changed: number[] = [];
    for (let at = 0; at < before.length; at += PAGE_BYTES) {
      const old = before.subarray(at, at + PAGE_BYTES);
      if (Buffer.compare(old, after.subarray(at, at + PAGE_BYTES)) !== 0) changed.push(at / PAGE_BYTES);
    }
    return { changed, marked: [...pages], missed: changed.filter((page) => !pages.has(page)) };
  });
}
