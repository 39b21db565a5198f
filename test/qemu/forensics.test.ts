// What can be read of a Linux in QEMU from outside, against what its own shell says; live, and the same from a snapshot.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/codec/load.ts';
import { openEngine, type Vitrine } from '../../src/engine/vitrine.ts';
import { linesOfLog, readLog } from '../../src/host/forensics/kernel-log.ts';
import { LinuxKernel } from '../../src/host/forensics/linux-kernel.ts';
import { memoryImage } from '../../src/host/forensics/memory-image.ts';
import { readProcesses } from '../../src/host/forensics/processes.ts';
import { memoryOfSnapshot } from '../../src/host/forensics/snapshot-memory.ts';
import { SystemMap } from '../../src/host/forensics/system-map.ts';
import { registersIn } from '../../src/host/qemu/cpu-record.ts';
import { openQemuMachine, type QemuMachine } from '../../src/host/qemu/qemu-machine.ts';
import { translateInSnapshot } from '../../src/host/qemu/snapshot-addresses.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import { openFsStore } from '../../src/store/fs-store.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { runCommand } from '../host/cli/shell.ts';
import { readElfCore } from './elf-core.ts';
import { linuxProfile, Shell } from './linux-machine.ts';
import { mapOf, muted } from './mute-kernel.ts';
import { QEMUS } from './pulse-machine.ts';

/** A kernel's log stays; the kernel is the same in every QEMU, so one is enough. */
const { program } = QEMUS[0]!;

let folder: string;
let vitrine: Vitrine;
let machine: QemuMachine;
let shell: Shell;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-forensics-'));
  const [kernels, codecs, store] = await Promise.all([loadKernels(), loadCodecs(), openFsStore(folder)]);
  vitrine = await openEngine({ store, kernels, codecs });
  machine = await openQemuMachine('linux', linuxProfile(program), vitrine);
  shell = new Shell(machine.serial);
  await machine.start();
  await shell.untilUp();
});
afterAll(async () => {
  await machine?.close();
  await vitrine?.close();
  await rm(folder, { recursive: true, force: true });
});

const live = <T>(work: (kernel: LinuxKernel) => Promise<T>): Promise<T> =>
  machine.inspect(async ({ memory }) => work(await LinuxKernel.find(memory)));

describe('a Linux, from outside', () => {
  it('has the name that it says', async () => {
    const { system, host, release, version, architecture } = await live((kernel) => kernel.name());
    const uname = await shell.run('uname -s; uname -n; uname -r; uname -v; uname -m');
    expect([system, host, release, version, architecture]).toEqual(uname.split('\n'));
  });

  it('has the log that it shows', async () => {
    await shell.run('echo "from outside" > /dev/kmsg');
    const lines = linesOfLog(await live(readLog));
    const shown = (await shell.run('dmesg')).split('\n');
    // The shell's lines are cut by its own buffer, from the front.
    expect(shown.length).toBeGreaterThan(50);
    expect(lines.slice(-shown.length)).toEqual(shown);
    expect(lines.at(-1)).toContain('from outside');
  });

  it('has the processes that it lists, with their parents', async () => {
    // Until it has its name: before that it is a second shell.
    await shell.run('sleep 1000 & until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done');
    const own = await live(readProcesses);
    const listed = await shell.run(
      'for p in /proc/[0-9]*; do n=$(cut -c-15 $p/comm) && echo "$(grep -w PPid: $p/status | cut -f2) $(basename $p) $n"; done',
    );
    // What lists them is among them, and kernel threads come and go.
    const steady = (text: string) => !/kworker|grep|cut|sh$/.test(text);
    const expected = listed.split('\n').filter(steady).sort();
    const found = own
      .map(({ pid, parent, name }) => `${parent} ${pid} ${name}`)
      .filter(steady)
      .sort();
    expect(found).toEqual(expected);
    expect(own.some(({ name }) => name === 'sleep')).toBe(true);
  });

  it('says the same from a snapshot', async () => {
    await machine.stop();
    const { id } = (await machine.machine.save()).snapshot;
    const kernel = await LinuxKernel.find(await memoryOfSnapshot(vitrine, id));
    expect(await kernel.name()).toEqual(await live((one) => one.name()));
    expect(await readLog(kernel)).toEqual(await live(readLog));
    expect(await readProcesses(kernel)).toEqual(await live(readProcesses));
    const vitrineCommand = async (...args: string[]) => {
      const { code, out } = await runCommand(['peek', id, ...args, '--store', folder], {
        VITRINE_RUN_DIR: join(folder, 'none'),
      });
      expect(code).toBe(0);
      return out;
    };
    expect(await vitrineCommand('--uname')).toMatch(/^Linux vitrine 6\.\S+ #1 .* i686\n$/);
    expect(await vitrineCommand('--dmesg')).toBe(
      linesOfLog(await readLog(kernel))
        .map((line) => `${line}\n`)
        .join(''),
    );
    expect(await vitrineCommand('--ps')).toMatch(
      /^PID {2}PPID {2}NAME\n +1 +0 {2}init\n +2 +0 {2}kthreadd\n/,
    );
    const stored = registersIn(await vitrine.devices(id));
    expect(await machine.inspect(async ({ registers }) => registers)).toEqual(stored);
    await machine.start();
  });

  it('is found by its System.map where it notes nothing of itself', async () => {
    await machine.stop();
    const { id } = (await machine.machine.save()).snapshot;
    const memory = await memoryOfSnapshot(vitrine, id);
    const kernel = await LinuxKernel.find(memory);
    const text = await mapOf(kernel);
    const map = SystemMap.read(text);
    const mute = muted(memory);
    expect(await codeOf(() => LinuxKernel.find(mute))).toBe('not-found');
    const byMap = await LinuxKernel.find(mute, map);
    expect(byMap.notes.text).not.toBe(kernel.notes.text);
    expect(await byMap.name()).toEqual(await kernel.name());
    expect(await readLog(byMap)).toEqual(await readLog(kernel));
    expect(await readProcesses(byMap)).toEqual(await readProcesses(kernel));
    // Of another build: everything in it is a page further on.
    const other = text.replace(/^\S+/gm, (digits) =>
      (BigInt(`0x${digits}`) + 4096n).toString(16).padStart(8, '0'),
    );
    const files = {
      map: join(folder, 'System.map'),
      other: join(folder, 'other.map'),
      stub: join(folder, 'stub.map'),
    };
    await writeFile(files.map, text);
    await writeFile(files.other, other.replace(/^\S+( . _stext)$/m, '$1'));
    await writeFile(
      files.stub,
      'ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n',
    );
    const peek = (file: string, ...views: string[]) =>
      runCommand(['peek', id, ...views, '--system-map', file, '--store', folder], {
        VITRINE_RUN_DIR: join(folder, 'none'),
      });
    expect((await peek(files.map, '--uname')).out).toMatch(/^Linux vitrine 6\.\S+ #1 .* i686\n$/);
    expect((await peek(files.map, '--dmesg')).out).toContain('Linux version 6.');
    expect(await peek(files.other, '--ps')).toMatchObject({
      code: 1,
      error: expect.stringContaining('it is of another kernel'),
    });
    expect(await peek(files.stub, '--ps')).toMatchObject({
      code: 1,
      error: expect.stringContaining('it has no address of linux_banner'),
    });
    expect(await peek(join(folder, 'nothing'), '--ps')).toMatchObject({ code: 3 });
    expect(await peek(files.map, '0', '16')).toMatchObject({ code: 2 });
    await machine.start();
  });

  it('is written as a core that holds what QEMU itself dumps, and the note by which tools find the kernel', async () => {
    await machine.stop();
    const { id } = (await machine.machine.save()).snapshot;
    const theirs = join(folder, 'dump');
    // Not a command of ours: the driver's table is closed.
    const execute = machine.process.qmp.execute.bind(machine.process.qmp) as (
      command: string,
      args: object,
    ) => Promise<unknown>;
    await execute('dump-guest-memory', { paging: false, protocol: `file:${theirs}` });
    const pieces: Buffer[] = [];
    for await (const piece of memoryImage(await memoryOfSnapshot(vitrine, id), 'elf')) {
      pieces.push(Buffer.from(piece));
    }
    const ours = readElfCore(Buffer.concat(pieces));
    let compared = 0;
    for (const { address, bytes } of readElfCore(await readFile(theirs)).loads) {
      for (const load of ours.loads) {
        const start = Math.max(address, load.address);
        const end = Math.min(address + bytes.length, load.address + load.bytes.length);
        if (start >= end) continue;
        const same = load.bytes
          .subarray(start - load.address, end - load.address)
          .equals(bytes.subarray(start - address, end - address));
        expect(same, `${start.toString(16)} to ${end.toString(16)}`).toBe(true);
        compared += end - start;
      }
    }
    expect(compared).toBeGreaterThan(0.99 * machine.process.profile.memoryBytes);
    const [note] = ours.notes;
    expect(note?.name).toBe('VMCOREINFO');
    expect(note?.body.toString('latin1')).toContain(
      `OSRELEASE=${(await live((kernel) => kernel.name())).release}\n`,
    );
    await machine.start();
  });

  it('has virtual addresses where QEMU says they are', async () => {
    await machine.stop();
    const ask = (command: string) =>
      machine.process.qmp.execute('human-monitor-command', { 'command-line': command });
    const shown = await ask('info registers');
    const [registers] = await machine.inspect(async (instant) => instant.registers);
    const field = (name: string) => BigInt(`0x${new RegExp(`${name}=([0-9a-f]+)`).exec(shown)![1]!}`);
    expect(registers).toMatchObject({
      rip: field('EIP'),
      cr0: field('CR0'),
      cr3: field('CR3'),
      cr4: field('CR4'),
      general: { rsp: field('ESP'), rax: field('EAX') },
    });
    const kernelText = await live(async ({ notes }) => notes.symbol('_stext')!);
    let mapped = 0;
    for (const address of [field('EIP'), field('ESP'), kernelText + 0x12_3456n, 0xc000_0000n, 0xc0ff_f123n]) {
      const answer = await ask(`gva2gpa 0x${address.toString(16)}`);
      const said = /gpa: (?:0x)?([0-9a-f]+)/.exec(answer)?.[1];
      const found = await machine.translate(address, 1).then(
        ([range]) => range!.address.toString(16),
        () => undefined,
      );
      expect({ address, found }).toEqual({ address, found: said });
      if (said !== undefined) mapped++;
    }
    expect(mapped).toBeGreaterThan(2);
    // And in a snapshot of that instant.
    const { id } = (await machine.machine.save()).snapshot;
    const stored = await translateInSnapshot(vitrine, id, kernelText - 100n, 300_000);
    expect(stored).toEqual(await machine.translate(kernelText - 100n, 300_000));
    expect(await codeOf(() => translateInSnapshot(vitrine, id, 0n, 1))).toBe('span-out-of-range');
    const peeked = await runCommand(
      ['peek', id, `0x${kernelText.toString(16)}`, '8', '--virtual', '--format', 'json', '--store', folder],
      { VITRINE_RUN_DIR: join(folder, 'none') },
    );
    const [text] = await vitrine.peek(id, await translateInSnapshot(vitrine, id, kernelText, 8));
    expect(JSON.parse(peeked.out)).toMatchObject({
      hex: Buffer.from(text!).toString('hex'),
      source: 'store',
    });
    expect(await codeOf(() => machine.translate(0n, 1))).toBe('span-out-of-range');
    expect(await codeOf(() => machine.translate(0xc000_0000n, 1, 7))).toBe('not-found');
    await machine.start();
  });
});
