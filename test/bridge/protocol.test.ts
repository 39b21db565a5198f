// PROTOCOL.md against the code: the tables a second implementation would be written from are those that are served.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BODY_BYTES, FRAME_TYPES, type FrameType, SENT_BY } from '../../src/bridge/frame.ts';
import type { Verb } from '../../src/bridge/verb.ts';
import { VERBS } from '../../src/bridge/verb-table.ts';

const TEXT = readFileSync(new URL('../../src/bridge/PROTOCOL.md', import.meta.url), 'utf8');

/** The rows of the table whose first column is headed so. */
function rowsUnder(heading: string): string[][] {
  const lines = TEXT.split('\n');
  const start = lines.findIndex((line) => line.startsWith(heading));
  expect(start).toBeGreaterThan(0);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  }
  return rows;
}

describe('PROTOCOL.md', () => {
  it('has the types of frames, their lengths and senders', () => {
    const ours = (Object.keys(FRAME_TYPES) as FrameType[]).map((type) => {
      const { least, most } = BODY_BYTES[type];
      const senders = (['client', 'host'] as const).filter((end) =>
        (SENT_BY[end] as readonly FrameType[]).includes(type),
      );
      const length =
        least === most ? `${least}` : `${least} … ${most.toLocaleString('en').replace(/\s/g, ',')}`;
      return [`${FRAME_TYPES[type]}`, type, senders.length === 2 ? 'both' : senders[0], length];
    });
    expect(rowsUnder('| Type | Frame').map(([id, name, by, , length]) => [id, name, by, length])).toEqual(
      ours,
    );
  });

  it('has the verbs, their permissions and streams', () => {
    const ours = Object.values(VERBS).map(
      (verb: Pick<Verb, 'id' | 'name' | 'permission' | 'streams' | 'isJob'>) => {
        const streams = [
          ...(verb.streams.down === 'none' ? [] : [`${verb.streams.down} down`]),
          ...(verb.streams.up === 'none' ? [] : [`${verb.streams.up} up`]),
        ].join(', ');
        return [`${verb.id}`, verb.name, verb.name === 'hello' ? '–' : verb.permission, streams, verb.isJob];
      },
    );
    const theirs = rowsUnder('| Id | Verb').map(([id, name, needs, streams]) => [
      id,
      name,
      needs?.split(/[,; ]/)[0],
      streams?.replace(/(, )?\*job\*/, ''),
      streams?.includes('*job*'),
    ]);
    expect(theirs).toEqual(ours);
  });

  it('numbers verbs without gaps, each once', () => {
    expect(Object.values(VERBS).map(({ id }) => id)).toEqual(
      Object.values(VERBS).map((_, index) => index + 1),
    );
    for (const [name, verb] of Object.entries(VERBS))
      expect(verb.name.replaceAll('-', '')).toBe(name.toLowerCase());
  });
});
