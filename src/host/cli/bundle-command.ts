// `vitrine export` and `vitrine import`: a snapshot as one file, out of a store or a bridge and into another; or its memory
// alone, as a file that other tools read.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { throwIfAborted } from '../../base/work.ts';
import { sync } from '../../bridge/sync.ts';
import { bundleTarget } from '../../bundle/bundle-target.ts';
import { openBundle } from '../../bundle/open-bundle.ts';
import { EFFORTS } from '../../format/frame-codecs.ts';
import type { Manifest } from '../../format/manifest.ts';
import { fileError } from '../file-error.ts';
import { IMAGE_FORMATS, memoryImage } from '../forensics/memory-image.ts';
import { UsageError } from './command.ts';
import { OutputFile } from './output-file.ts';
import { bytesText } from './quantity.ts';
import { findSnapshot } from './snapshot-name.ts';
import { storedMemory } from './stored-memory.ts';
import { verbCommand } from './verb-command.ts';

const FORMATS = ['vitrine', ...IMAGE_FORMATS] as const;
const READ_BYTES = 256 * 1024;

export const exportCommand = verbCommand({
  name: 'export',
  summary: 'a snapshot as one file, with all that it stands on',
  help: `vitrine export 3f9a -o booted.vitrine
vitrine export 3f9a -o booted.vitrine --effort small --store snapshots
vitrine export 3f9a --format elf -o booted.core

Whoever has the file can read the machine's memory: it is not encrypted. Disks are not in it: the snapshot names their files.

  -o, --output FILE     where; it is there when it is whole. MACHINE-ID.vitrine when left out
  --format FORMAT       vitrine, to be imported again; or memory alone, for other tools: elf (a core, with the Linux kernel's
                        own note), lime, raw. vitrine when left out
  --effort EFFORT       none, fast, balanced or small: how hard to compress; balanced when left out
  --force               replaces a file that is there
`,
  needs: 'snapshots',
  names: { least: 1, most: 1, what: 'a snapshot' },
  options: {
    output: { type: 'string', short: 'o' },
    format: { type: 'string' },
    effort: { type: 'string' },
    force: { type: 'boolean' },
  },
  async run({ client, names: [name], values, work, result, say }) {
    const effort = EFFORTS.find((one) => one === (values.effort ?? 'balanced'));
    if (effort === undefined) throw new UsageError(`--effort takes ${EFFORTS.join(', ')}`);
    const format = FORMATS.find((one) => one === (values.format ?? 'vitrine'));
    if (format === undefined) throw new UsageError(`--format takes ${FORMATS.join(', ')}`);
    const shown = await client.show(await findSnapshot(client, name!));
    const { id, machine, manifest } = shown;
    const file = String(values.output ?? `${machine}-${id.slice(0, 12)}.${format}`);
    const mayReplace = values.force === true;
    if (format !== 'vitrine') {
      const memory = storedMemory(client, shown);
      if (memory.ranges.length === 0)
        throw new VitrineError('unsupported', { missing: 'RAM at physical addresses' });
      const sizeBytes = await writeWhole(file, mayReplace, async (out) => {
        for await (const piece of memoryImage(memory, format)) {
          throwIfAborted(work.signal);
          out.write(piece);
        }
      });
      result({ snapshot: id, file, format, sizeBytes }, `${file}\n`);
      say(`${bytesText(sizeBytes)}: memory alone, for other tools`);
      return;
    }
    const sizeBytes = await writeWhole(file, mayReplace, (out) =>
      sync(
        client,
        bundleTarget(async (bytes) => out.write(bytes)),
        id,
        { ...work, effort },
      ),
    );
    const disks = disksOf(manifest);
    result({ snapshot: id, file, format, sizeBytes, disks }, `${file}\n`);
    say(`${bytesText(sizeBytes)}; "vitrine import ${basename(file)}" brings it into another store`);
    if (disks.length > 0)
      say(`Not in it: the disks ${disks.join(', ')}. Where it goes it needs their files.`);
  },
});

export const importCommand = verbCommand({
  name: 'import',
  summary: 'a snapshot out of a file, checked to its last byte',
  help: `vitrine import booted.vitrine
vitrine import booted.vitrine --store snapshots

The file is read to its end before anything is stored, and each object is proven by its digest. What is there already is not stored
again. "vitrine fork" starts a machine of it, "vitrine restore --fresh" brings back the one it is of.

`,
  needs: 'snapshots',
  names: { least: 1, most: 1, what: 'a file' },
  async run({ client, names: [file], work, result, say }) {
    // A stream would throw it late.
    const found = await stat(file!).catch((cause: unknown) => {
      throw fileError(file!, cause);
    });
    if (!found.isFile()) throw new VitrineError('argument-invalid', { file: file!, wants: 'a file' });
    const bundle = await openBundle(() => createReadStream(file!, { highWaterMark: READ_BYTES }), work);
    const report = await sync(bundle, client, bundle.info.id, work);
    const { id, machine, label } = bundle.info;
    const disks = disksOf(bundle.manifest);
    result({ ...report, machine, label, disks }, `${id}\n`);
    const what = `${machine}${label === '' ? '' : `, “${label}”`}`;
    say(
      report.wasThere
        ? `${what} was there already`
        : `${what}: ${bytesText(report.bytesSent)} of ${bytesText(bundle.sizeBytes)} stored`,
    );
    if (disks.length > 0) say(`It needs the disks ${disks.join(', ')} under the names that they had.`);
  },
});

/** Disks of a QEMU machine: a snapshot names their files and does not hold them. */
function disksOf({ devices }: Manifest): string[] {
  const prefix = 'disk.';
  return devices.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length));
}

/** A file that is there when it is whole, and not before. Its bytes. */
async function writeWhole(
  file: string,
  mayReplace: boolean,
  write: (out: OutputFile) => Promise<unknown>,
): Promise<number> {
  const out = new OutputFile(file, { mayReplace });
  try {
    await write(out);
    return out.keep();
  } finally {
    out.close();
  }
}
