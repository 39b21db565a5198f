// The table of verbs: closed, ids append-only. What is not in it does not exist for a client.

import type { Verb } from './verb.ts';
import { hello } from './verbs/hello.ts';
import { list } from './verbs/list.ts';
import { status } from './verbs/status.ts';

export const VERBS = { hello, list, status } as const;

export type VerbName = keyof typeof VERBS;

// Safe: schemas of a table's entries are narrower than `Schema`, and each verb gets what its own schema made.
const BY_ID = new Map<number, Verb>(Object.values(VERBS).map((verb) => [verb.id, verb as unknown as Verb]));

/** The verb of an id on the wire. */
export function verbOf(id: number): Verb | undefined {
  return BY_ID.get(id);
}
