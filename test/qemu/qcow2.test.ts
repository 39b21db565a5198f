// The file that carries a stream into a running machine, as `qemu-img` sees it.

import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { overlayImage } from '../../src/host/qemu/overlay-image.ts';
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

it.each([512, 64 * 2 ** 20, 9 * 2 ** 40])(
  'qemu-img finds no error in a layer of a disk of %i bytes',
  async (sizeBytes) => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-qcow2-'));
    try {
      const [base, layer] = [join(folder, 'base'), join(folder, 'layer')];
      await writeFile(base, '');
      await truncate(base, sizeBytes);
      await writeFile(layer, overlayImage(sizeBytes, { path: 'base', format: 'raw' }));
      const check = qemuImg(['check', '--output=json', layer]);
      expect(check.status, check.stderr).toBe(0);
      expect(check.stdout).not.toMatch(/leaks|corruptions/);
      const info = JSON.parse(qemuImg(['info', '--output=json', layer]).stdout) as object;
      expect(info).toMatchObject({
        'virtual-size': sizeBytes,
        'full-backing-filename': base,
        'backing-filename-format': 'raw',
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

function qemuImg(args: readonly string[]): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } {
  return spawnSync('qemu-img', args, { encoding: 'utf8' });
}
