// Runs inside a Linux whose kernel has soft-dirty bits (`soft-dirty.test.ts` boots it): QEMU machines there, each take of their marks
// compared with all of RAM. It prints one line of JSON for each thing seen; what has to hold is said by the test.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../../src/base/limits.ts';
import { loadCodecs } from '../../../src/codec/load.ts';
import { openEngine } from '../../../src/engine/vitrine.ts';
import { PULSE, pulseRom } from '../../../src/guest/pulse/pulse.ts';
import { openQemuMachine, type QemuMachine } from '../../../src/host/qemu/qemu-machine.ts';
import { selfTest } from '../../../src/host/qemu/self-test.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { openMemoryStore } from '../../../src/store/memory-store.ts';
import { faultOf, readPulse } from '../pulse-state.ts';
import { Oracle } from './oracle.ts';
import { tell } from './tell.ts';

const PROGRAM = '/usr/bin/qemu-system-x86_64';
const MEMORY_BYTES = 16 * MIB;
const EPOCHS = 6;

/** Lets it write so many more pages; what is wrong with its memory then, or `none`. */
async function letRun({ guest }: QemuMachine, loops: number): Promise<string> {
  const word = new Uint8Array(4);
  const count = (): number => {
    guest.readTorn({ region: 0, offsetBytes: PULSE.loops, lengthBytes: word.length }, word);
    return new DataView(word.buffer).getUint32(0, true);
  };
  const target = count() + loops;
  while (count() < target) await new Promise(setImmediate);
  return faultOf(await readPulse(guest));
}

const bios = join(mkdtempSync(join(tmpdir(), 'pulse-')), 'pulse.bin');
writeFileSync(bios, pulseRom());
const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
const vitrine = await openEngine({ store: openMemoryStore(), kernels, codecs });
const profile = { program: PROGRAM, bios, cpu: 'qemu64,-apic', memoryBytes: MEMORY_BYTES };

tell('self-test', await selfTest({ program: PROGRAM, accelerator: 'tcg' }));

/** Saves, restores, checkpoints and resets, in turn: several consumers of one machine's marks. */
async function drive(name: string, options: { readonly mostCopiedBytes?: number }): Promise<void> {
  const pulse = await openQemuMachine(name, profile, vitrine, options);
  const { machine } = pulse;
  const hasCheckpoints = options.mostCopiedBytes === undefined;
  const oracle = new Oracle(pulse);
  const faults = new Set<string>();
  const ids: string[] = [];
  const looked: number[] = [];
  const changed: number[] = [];
  await pulse.start();
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    faults.add(await letRun(pulse, 3));
    const { snapshot } = await machine.save({ label: `epoch ${epoch}` });
    ids.push(snapshot.id);
    looked.push(snapshot.statistics.pagesScanned);
    changed.push(snapshot.statistics.pagesChanged);
    if (epoch >= 2 && hasCheckpoints) {
      faults.add(await letRun(pulse, 2));
      await machine.checkpoint();
      faults.add(await letRun(pulse, 2));
      await machine.reset();
      faults.add(await letRun(pulse, 2));
    }
    if (epoch === 3) {
      await machine.restore(ids[1]!);
      faults.add(await letRun(pulse, 2));
    }
  }
  const { takes, unknown, told, differing, missed } = oracle;
  const { tier, tierReason } = await machine.describe();
  tell(name, {
    takes,
    unknown,
    told,
    differing,
    missed,
    looked,
    changed,
    tier,
    tierReason,
    faults: [...faults],
  });

  // Whoever else clears the bits takes them from us.
  await pulse.stop();
  writeFileSync(`/proc/${pulse.process.pid}/clear_refs`, '4');
  await pulse.start();
  const before = oracle.unknown;
  await machine.save({ label: 'cleared by another' });
  const { tierReason: why } = await machine.describe();
  tell(`${name}: cleared by another`, { unknown: oracle.unknown - before, why });
  await pulse.close();
}

await drive('copied', {});
await drive('digests', { mostCopiedBytes: MIB });
await vitrine.close();
tell('end', {});
