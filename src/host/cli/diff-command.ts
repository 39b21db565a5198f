// `vitrine diff`: which pages differ between two snapshots, or between a machine and a snapshot.

import { findSnapshot } from './snapshot-name.ts';
import { textTable } from './text-table.ts';
import { verbCommand } from './verb-command.ts';

export const diffCommand = verbCommand({
  name: 'diff',
  summary: 'which pages differ between two snapshots, or a machine and one',
  help: `vitrine diff 3f9a 77c0
vitrine diff web
vitrine diff web 3f9a --pages
vitrine diff 3f9a web

A machine is compared with the snapshot it goes on from unless another one is named.

  --pages               each run of pages, instead of how many
`,
  needs: 'snapshots',
  names: { least: 1, most: 2, what: 'two snapshots, or a machine and perhaps a snapshot' },
  options: { pages: { type: 'boolean' } },
  async run({ client, names, values, result, say }) {
    const machines = new Set((await client.machines()).map(({ name }) => name));
    // In either order: which of the two is a machine is known.
    const inOrder = names[1] !== undefined && machines.has(names[1]) ? names.toReversed() : names;
    const [a, b] = inOrder as [string, string | undefined];
    const isMachine = machines.has(a) || b === undefined;
    const other = b && (await findSnapshot(client, b, isMachine ? a : undefined));
    const report =
      isMachine || other === undefined
        ? await client.machine(a).diff(other)
        : await client.diff(await findSnapshot(client, a), other);
    const text = values.pages === true ? runsText(report.regions) : regionsText(report.regions);
    result(report, text);
    if (report.devices.length > 0) say(`device state differs: ${report.devices.join(', ')}`);
  },
});

interface ChangedRegion {
  readonly name: string;
  readonly pageBytes: number;
  readonly pageCount: number;
  readonly pagesChanged: number;
  readonly runs: readonly { readonly first: number; readonly count: number }[];
}

function regionsText(regions: readonly ChangedRegion[]): string {
  const rows = regions.map(({ name, pageCount, pagesChanged }) => [name, pagesChanged, pageCount]);
  return textTable(['REGION', 'CHANGED', 'PAGES'], rows);
}

function runsText(regions: readonly ChangedRegion[]): string {
  const rows = regions.flatMap(({ name, pageBytes, runs }) =>
    runs.map(({ first, count }) => [name, `0x${(first * pageBytes).toString(16)}`, count]),
  );
  return textTable(['REGION', 'OFFSET', 'PAGES'], rows);
}
