// Where in a machine's memory somebody means: a physical address, or REGION+OFFSET.

import { readNumber } from './quantity.ts';

export type MemoryPlace =
  | { readonly address: number }
  | { readonly region: string; readonly offsetBytes: number };

/** Throws `UsageError` for what is neither. */
export function readPlace(text: string): MemoryPlace {
  const match = /^([a-z][\w.-]*)\+(\w+)$/i.exec(text);
  if (match === null) return { address: readNumber(text, 'the address') };
  return { region: match[1]!, offsetBytes: readNumber(match[2]!, 'the offset') };
}
