// When the kernel may have forgotten what was written: what the witness of that makes of the system's own words.

import { describe, expect, it } from 'vitest';
import type { MappingKind } from '../../../src/host/qemu/page-map.ts';
import { UnmapWitness } from '../../../src/host/qemu/unmap-witness.ts';

const VMSTAT = '/proc/vmstat';
const HUGE = '/sys/kernel/mm/transparent_hugepage/shmem_enabled';
const KSM = '/sys/kernel/mm/ksm/run';
const QUIET = 'nr_free_pages 5\npswpout 0\npgscan_anon 0\n';

/** A system, told by its files. */
class System {
  nowMs = 0;
  readonly files = new Map([
    [VMSTAT, QUIET],
    [HUGE, 'always within_size advise [never] deny force\n'],
    [KSM, '0\n'],
  ]);
  mounted: { type: string; options: string[] } | undefined = { type: 'tmpfs', options: ['rw', 'size=1g'] };

  witness(kind: MappingKind = 'shared'): UnmapWitness {
    const clock = { nowMs: () => this.nowMs, wallMs: () => 0 };
    const kernel = { text: (path: string) => this.files.get(path), mount: () => this.mounted };
    return new UnmapWitness({ kind, device: '0:27' }, clock, kernel);
  }

  /** So many pages were looked at to be swapped out since it was started. */
  scanned(count: number): void {
    this.files.set(VMSTAT, `nr_free_pages 7\npswpout 0\npgscan_anon ${count}\n`);
  }
}

describe('a shared mapping', () => {
  it('is trusted between looks where the system never swaps', () => {
    const system = new System();
    const witness = system.witness();
    expect(witness.look()).toContain('not looked at before');
    expect(witness.look()).toBeUndefined();
    expect(witness.look()).toBeUndefined();
  });

  it('is not trusted over a look for pages to swap out, nor for ten seconds after it', () => {
    const system = new System();
    const witness = system.witness();
    witness.look();
    system.scanned(32);
    expect(witness.look()).toContain('swaps');
    system.nowMs = 9_999;
    expect(witness.look()).toContain('swaps');
    // What begins now began in quiet, and is trusted at the end of it.
    system.nowMs = 10_001;
    expect(witness.look()).toContain('swaps');
    expect(witness.look()).toBeUndefined();
    system.scanned(33);
    expect(witness.look()).toContain('swaps');
  });

  it('waits at first where the system has swapped before', () => {
    const system = new System();
    system.scanned(1000);
    const witness = system.witness();
    witness.look();
    expect(witness.look()).toContain('swaps');
  });

  it('is never trusted where memory may become huge pages, and says so at once', () => {
    const system = new System();
    for (const options of [['huge=always'], ['rw', 'huge=within_size'], ['huge=advise']]) {
      system.mounted = { type: 'tmpfs', options };
      expect(system.witness().hindrance()).toContain(options.at(-1));
    }
    system.mounted = { type: 'tmpfs', options: ['huge=never'] };
    expect(system.witness().hindrance()).toBeUndefined();
    system.files.set(HUGE, 'always within_size advise never deny [force]\n');
    expect(system.witness().hindrance()).toContain('force');
    // A memfd has no mount of its own: the setting for all counts.
    system.mounted = undefined;
    system.files.set(HUGE, 'always within_size [advise] never deny force\n');
    expect(system.witness().hindrance()).toContain('advise');
    system.files.set(HUGE, 'always within_size advise [never] deny force\n');
    expect(system.witness().hindrance()).toBeUndefined();
  });

  it('is looked at as a whole while a setting spoils it, and once more after', () => {
    const system = new System();
    const witness = system.witness();
    witness.look();
    system.mounted = { type: 'tmpfs', options: ['huge=always'] };
    expect(witness.look()).toContain('huge');
    system.mounted = { type: 'tmpfs', options: [] };
    expect(witness.look()).toBeDefined();
    expect(witness.look()).toBeUndefined();
  });

  it('of a file on a disk is never trusted, nor on a kernel that does not tell', () => {
    const system = new System();
    system.mounted = { type: 'ext4', options: [] };
    expect(system.witness().hindrance()).toContain('ext4');
    system.mounted = { type: 'tmpfs', options: [] };
    system.files.set(VMSTAT, 'pswpout 0\n');
    expect(system.witness().hindrance()).toContain('does not tell');
  });
});

describe('a private mapping', () => {
  it('keeps its bits when it is swapped, and loses them when pages are merged', () => {
    const system = new System();
    const witness = system.witness('private');
    witness.look();
    system.scanned(1000);
    expect(witness.look()).toBeUndefined();
    system.files.set(KSM, '1\n');
    expect(witness.look()).toContain('KSM');
    system.files.set(KSM, '0\n');
    expect(witness.look()).toBeDefined();
    expect(witness.look()).toBeUndefined();
  });
});
