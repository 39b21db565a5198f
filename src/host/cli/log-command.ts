// `vitrine log` and `vitrine show`: the snapshots there are, and one of them.

import { bytesText, countText, durationText, timeText } from './quantity.ts';
import { findSnapshot } from './snapshot-name.ts';
import { textList, textTable } from './text-table.ts';
import { verbCommand } from './verb-command.ts';

export const logCommand = verbCommand({
  name: 'log',
  summary: 'the snapshots there are, oldest first',
  help: `vitrine log
vitrine log web
vitrine log --store snapshots --json

Lists snapshots, of one machine if it is named. WRITTEN is what each added to the store.

`,
  needs: 'snapshots',
  names: { least: 0, most: 1, what: 'one machine or none' },
  async run({ client, names: [machine], result, say }) {
    const snapshots = await client.log(machine === undefined ? {} : { machine });
    const rows = snapshots.map(({ id, createdAtMs, machine, memoryBytes, statistics, parent, label }) => [
      id.slice(0, 12),
      timeText(createdAtMs),
      machine,
      bytesText(memoryBytes),
      bytesText(statistics.bytesWritten),
      parent?.slice(0, 12) ?? '-',
      label,
    ]);
    const heads = ['SNAPSHOT', 'TIME', 'MACHINE', 'MEMORY', 'WRITTEN', 'PARENT', 'LABEL'];
    result({ snapshots }, snapshots.length === 0 ? '' : textTable(heads, rows));
    if (snapshots.length === 0) say('No snapshots.');
  },
});

export const showCommand = verbCommand({
  name: 'show',
  summary: 'one snapshot: what it is of, and what it cost',
  help: `vitrine show 3f9a
vitrine show 3f9a --store snapshots --json

A snapshot is named by its id, the first digits of it, or its label.

`,
  needs: 'snapshots',
  names: { least: 1, most: 1, what: 'a snapshot' },
  async run({ client, names: [snapshot], result }) {
    const { manifest, ...info } = await client.show(await findSnapshot(client, snapshot!));
    const { machine } = manifest;
    const regions = manifest.regions.map(({ name, kind, guestAddress, sizeBytes, pageBytes }) => ({
      ...{ name, kind, guestAddress, sizeBytes, pageBytes },
    }));
    const { statistics } = info;
    result(
      { ...info, configuration: machine.config, regions },
      textList([
        ['snapshot', info.id],
        ['label', info.label],
        ['time', timeText(info.createdAtMs)],
        ['machine', `${info.machine} (${info.kind} ${machine.architecture})`],
        ['parent', info.parent ?? '-'],
        ['memory', regions.map(({ name, sizeBytes }) => `${name} ${bytesText(sizeBytes)}`).join(', ')],
        ['changed', `${statistics.pagesChanged} of ${countText(statistics.pagesScanned, 'page')}`],
        ['written', `${bytesText(statistics.bytesWritten)}, ${statistics.objectsNew} new objects`],
        ['rested', durationText(statistics.pauseMs)],
        ...Object.entries(machine.config).map(([name, value]) => [`  ${name}`, value] as const),
      ]),
    );
  },
});
