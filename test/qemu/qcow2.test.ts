// The file that carries a stream into a running machine, as `qemu-img` sees it.

import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { vmstateImage } from '../../src/host/qemu/qcow2.ts';

// Sizes on both sides of a cluster, and as long as RAM.
it.each([0, 1, 300_000, 40 * 2 ** 20])(
  'qemu-img finds no error in an image with a state of %i bytes',
  async (stateBytes) => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-qcow2-'));
    try {
      const file = join(folder, 'image');
      await writeFile(file, vmstateImage([new Uint8Array(stateBytes)], 'a name'));
      const check = qemuImg(['check', '--output=json', file]);
      expect(check.status, check.stderr).toBe(0);
      expect(JSON.parse(check.stdout)).toMatchObject({ 'check-errors': 0 });
      expect(check.stdout).not.toMatch(/leaks|corruptions/);
      const info = JSON.parse(qemuImg(['info', '--output=json', file]).stdout) as { snapshots: unknown[] };
      expect(info.snapshots).toMatchObject([{ id: '1', name: 'a name', 'vm-state-size': stateBytes }]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

function qemuImg(args: readonly string[]): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } {
  return spawnSync('qemu-img', args, { encoding: 'utf8' });
}
