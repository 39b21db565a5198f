// What a host says of a machine, for people: names in words, reasons behind what they are of. Programs have it as it came.

import type { MachineFacts } from './host.ts';

const REASON = 'Because';
const BYTES = 'Bytes';

/** Rows by name, in order of the alphabet; facts without a value are left out. `bytesText` says a size. */
export function factRows(
  facts: MachineFacts,
  bytesText: (bytes: number) => string,
): (readonly [string, string])[] {
  const rows = Object.entries(facts).flatMap(([name, value]) => {
    if (value === '' || (name.endsWith(REASON) && name.slice(0, -REASON.length) in facts)) return [];
    const reason = facts[`${name}${REASON}`] ?? '';
    const text = valueText(name, value, bytesText);
    return [[wordsOf(name), reason === '' ? text : `${text}: ${reason}`] as const];
  });
  return rows.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** By what a machine's changed pages are found, and why so. */
export function trackingText({
  tracking,
  tier,
  tierReason,
}: {
  readonly tracking: string;
  readonly tier: string;
  readonly tierReason: string | null;
}): string {
  return `${tracking}, ${tier}${tierReason === null ? '' : `: ${tierReason}`}`;
}

function valueText(name: string, value: MachineFacts[string], bytesText: (bytes: number) => string): string {
  if (value === null) return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return name.endsWith(BYTES) && typeof value === 'number' ? bytesText(value) : String(value);
}

/** `usedMemoryBytes` is `used memory`. */
function wordsOf(name: string): string {
  const noun = name.length > BYTES.length && name.endsWith(BYTES) ? name.slice(0, -BYTES.length) : name;
  return noun.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
