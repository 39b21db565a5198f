// `vitrine rm` and `vitrine gc`: snapshots go, and then their space comes back.

import { countText } from './quantity.ts';
import { findSnapshot } from './snapshot-name.ts';
import { verbCommand } from './verb-command.ts';

export const rmCommand = verbCommand({
  name: 'rm',
  summary: 'removes snapshots; "gc" gives their space back',
  help: `vitrine rm 3f9a 77c0 && vitrine gc

Snapshots are named by their ids, the first digits of them, or their labels. Others that build on them stay whole.

`,
  needs: 'snapshots',
  names: { least: 1, most: 256, what: 'snapshots' },
  async run({ client, names, result, say }) {
    // All of them are looked up before one is removed.
    const removed: string[] = [];
    for (const name of names) removed.push(await findSnapshot(client, name));
    await client.delete(removed);
    result({ removed }, removed.map((id) => `${id}\n`).join(''));
    say('"vitrine gc" gives the space of what nothing else needs back.');
  },
});

export const gcCommand = verbCommand({
  name: 'gc',
  summary: 'gives the space of removed snapshots back',
  help: `vitrine gc
vitrine gc --store snapshots

Removes what no snapshot reaches, and layers of QEMU machines' disks that none needs. Saves wait meanwhile; when it is cut off, the next
one ends it. Without a bridge of this user it is refused (busy) while another one serves the store, or a machine that no bridge has
stands on its disks.

`,
  needs: 'snapshots',
  names: { least: 0, most: 0, what: 'no names' },
  async run({ client, work, result, say }) {
    const report = await client.collect(work);
    result(report, '');
    const { packsRemoved, packsRewritten, manifestsRemoved, objectsRemoved } = report;
    const { layersRemoved = 0, layersMerged = 0 } = report;
    say(
      `${countText(objectsRemoved, 'object')} and ${countText(manifestsRemoved, 'manifest')} removed; ${countText(packsRemoved, 'pack')} gone, ${packsRewritten} written anew`,
    );
    if (layersRemoved + layersMerged > 0) {
      say(
        `${countText(layersRemoved, 'layer')} of disks removed; ${countText(layersMerged, 'row')} of them became one each`,
      );
    }
  },
});
