// Debian's Linux of 64 bits in QEMU: four levels of page tables, addresses that are others at each boot (KASLR). Saved, gone on from in
// another process, and read from outside: its name, log and processes, live and from the snapshot, as its own shell says.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { linesOfLog, readLog } from '../../src/host/forensics/kernel-log.ts';
import { LinuxKernel } from '../../src/host/forensics/linux-kernel.ts';
import { readProcesses } from '../../src/host/forensics/processes.ts';
import { SystemMap } from '../../src/host/forensics/system-map.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { translateInSnapshot } from '../../src/host/qemu/snapshot-addresses.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { runCommand } from '../host/cli/shell.ts';
import { image, linuxProfile, Shell } from './linux-machine.ts';
import { mapOf, muted } from './mute-kernel.ts';
import { QEMUS } from './pulse-machine.ts';

let folder: string;
let vitrine: Vitrine;
const opened: QemuMachine[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-amd64-'));
  const [kernels, codecs, store] = await Promise.all([loadKernels(), loadCodecs(), openFsStore(folder)]);
  vitrine = await openEngine({ store, kernels, codecs });
});
afterEach(async () => {
  for (const machine of opened.splice(0)) await machine.close();
});
afterAll(async () => {
  await vitrine?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(name: string, program: string, snapshot?: string) {
  const profile = linuxProfile(program, { kernel: image('vmlinuz-amd64'), cpu: 'max' });
  const machine = await openQemuMachine(name, profile, vitrine, snapshot === undefined ? {} : { snapshot });
  opened.push(machine);
  return { machine, shell: new Shell(machine.serial) };
}

/** What its shell says of processes that stay: number, parent and name of each. */
async function listed(shell: Shell): Promise<string[]> {
  const list = await shell.run(
    'for p in /proc/[0-9]*; do n=$(cut -c-15 $p/comm) && echo "$(grep -w PPid: $p/status | cut -f2) $(basename $p) $n"; done',
  );
  return list.split('\n').filter(isSteady).sort();
}

const isSteady = (text: string): boolean => !/kworker|grep|cut|sh$/.test(text);

for (const { version, program } of QEMUS) {
  describe(`QEMU ${version}, Linux of 64 bits`, () => {
    it('goes on from a snapshot in another process, and is read from outside', async () => {
      const { machine, shell } = await open('first', program);
      await machine.start();
      await shell.untilUp();
      const uname = (await shell.run('uname -s; uname -n; uname -r; uname -v; uname -m')).split('\n');
      expect(uname.at(-1)).toBe('x86_64');
      await shell.run('sleep 1000 & echo "from outside" > /dev/kmsg; echo kept > /kept');
      const names = await listed(shell);
      const shown = (await shell.run('dmesg')).split('\n');

      await machine.stop();
      const { id } = (await machine.machine.save()).snapshot;
      const instant = await machine.inspect(async ({ memory }) => {
        const kernel = await LinuxKernel.find(memory);
        const { system, host, release, version, architecture } = await kernel.name();
        expect([system, host, release, version, architecture]).toEqual(uname);
        const lines = linesOfLog(await readLog(kernel));
        // The kernel may have said more meanwhile, before its shell answered and after.
        expect(lines.join('\n')).toContain(shown.join('\n'));
        expect(shown.join('\n')).toContain('from outside');
        const processes = await readProcesses(kernel);
        const found = processes.map(({ pid, parent, name }) => `${parent} ${pid} ${name}`);
        expect(found.filter(isSteady).sort()).toEqual(names);
        // The same without its notes, by the map of its build: this boot has moved it.
        const map = SystemMap.read(await mapOf(kernel));
        const text = kernel.notes.symbol('_stext')!;
        expect(map.get('_stext')).toBe(0xffff_ffff_8100_0000n);
        expect(text).not.toBe(map.get('_stext'));
        const byMap = await LinuxKernel.find(muted(memory), map);
        expect(byMap.memory.space).toEqual(kernel.memory.space);
        expect(await byMap.name()).toEqual(await kernel.name());
        expect(linesOfLog(await readLog(byMap))).toEqual(lines);
        expect(await readProcesses(byMap)).toEqual(processes);
        expect(await byMap.symbols()).toEqual(await kernel.symbols());
        return { lines, text };
      });

      const peek = async (...args: string[]) => {
        const settings = { VITRINE_RUN_DIR: join(folder, 'none') };
        const { code, out } = await runCommand(['peek', id, ...args, '--store', folder], settings);
        expect(code).toBe(0);
        return out;
      };
      expect(await peek('--uname')).toMatch(/^Linux vitrine 6\.\S+-amd64 #1 .* x86_64\n$/);
      expect(await peek('--dmesg')).toBe(instant.lines.map((line) => `${line}\n`).join(''));
      expect(await peek('--ps')).toMatch(/^PID {2}PPID {2}NAME\n +1 +0 {2}init\n +2 +0 {2}kthreadd\n/);
      // Where the kernel is in this boot, through four levels of tables, is where QEMU says.
      const [range] = await translateInSnapshot(vitrine, id, instant.text, 4096);
      const answer = await machine.process.qmp.execute('human-monitor-command', {
        'command-line': `gva2gpa 0x${instant.text.toString(16)}`,
      });
      expect(range?.address.toString(16)).toBe(/gpa: (?:0x)?([0-9a-f]+)/.exec(answer)?.[1]);
      await machine.close();

      const again = await open('again', program, id);
      await again.machine.start();
      expect(await again.shell.run('cat /kept; uname -m')).toBe('kept\nx86_64');
      // Its own number and its children go on with it.
      expect(await listed(again.shell)).toEqual(names);
    });
  });
}
