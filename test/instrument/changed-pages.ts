// The oracle of all marks: a full compare.

/** Pages that differ. Where memory has grown, what was not there was zeros. */
export function changedPages(before: Uint8Array, after: Uint8Array, pageBytes: number): number[] {
  const changed: number[] = [];
  const old = new Uint8Array(pageBytes);
  for (let start = 0; start < after.length; start += pageBytes) {
    old.fill(0);
    old.set(before.subarray(start, start + pageBytes));
    if (Buffer.compare(old, after.subarray(start, start + pageBytes)) !== 0) changed.push(start / pageBytes);
  }
  return changed;
}
