// Which accelerator a machine gets, and why: what is tried of KVM is tried here on QEMU's own translation, under the name of KVM, so that
// both answers are seen whatever the host has.

import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QemuLauncher } from '../../src/host/bridge/qemu-launcher.ts';
import { tryBoot } from '../../src/host/qemu/boot-trial.ts';
import { chooseAccelerator } from '../../src/host/qemu/choose-accelerator.ts';
import { codeOf } from '../../src/testing/guest-suites/subject.ts';
import { openTestEngine } from '../support/engine.ts';
import { pulseRomFile, QEMUS } from './pulse-machine.ts';

let folder: string;
let rom: Awaited<ReturnType<typeof pulseRomFile>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-accelerator-'));
  rom = await pulseRomFile();
});
afterAll(async () => {
  await rom.remove();
  await rm(folder, { recursive: true, force: true });
});

/** A QEMU whose KVM is QEMU's own translation, and whose `qemu64` is another model. */
async function disguised(program: string, name: string, cpu: string): Promise<string> {
  const path = join(folder, name);
  const lines = [
    '#!/bin/sh',
    'left=$#',
    'while [ "$left" -gt 0 ]; do',
    '  one=$1; shift; left=$((left - 1))',
    '  [ "$one" = kvm ] && one=tcg',
    `  [ "$one" = qemu64 ] && one=${cpu}`,
    '  set -- "$@" "$one"',
    'done',
    `exec '${program}' "$@"`,
  ];
  await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o755 });
  return path;
}

describe.each(QEMUS)('QEMU $version', ({ version, program }) => {
  it('gives KVM where it comes up in long mode and state goes out and in', async () => {
    expect(await tryBoot({ program, accelerator: 'tcg' })).toMatchObject({ works: true });
    const good = await disguised(program, `good-${version}`, 'qemu64');
    // Any file that may be opened.
    const choice = await chooseAccelerator({ program: good }, { device: rom.bios });
    expect(choice).toMatchObject({ accelerator: 'kvm', because: expect.stringMatching(/long mode/) });
  });

  it('gives its own translation where KVM does not, with the step that is missing', async () => {
    const bad = await disguised(program, `bad-${version}`, 'qemu32');
    const choice = await chooseAccelerator({ program: bad }, { device: rom.bios });
    expect(choice).toMatchObject({
      accelerator: 'tcg',
      because: expect.stringMatching(
        /^KVM boots no operating system here: the machine .* on its way to paging and long mode$/,
      ),
    });
    const asked = await chooseAccelerator({ program: bad, accelerator: 'kvm' }, { device: rom.bios });
    expect(asked).toEqual({ accelerator: 'kvm', because: `it was asked for; ${choice.because}` });
  });
});

it('gives the translation where there is no KVM, and where QEMU does not start with it', async () => {
  const { program } = QEMUS[0]!;
  const choose = (device: string, name = program) => chooseAccelerator({ program: name }, { device });
  expect(await choose(join(folder, 'none'))).toMatchObject({
    accelerator: 'tcg',
    because: expect.stringMatching(/^no KVM: there is no /),
  });
  expect(await choose(rom.bios, join(folder, 'none'))).toMatchObject({
    accelerator: 'tcg',
    because: expect.stringMatching(/^QEMU starts no machine with KVM/),
  });
  const plain = await chooseAccelerator({ program, accelerator: 'tcg' });
  expect(plain).toEqual({ accelerator: 'tcg', because: 'it was asked for' });
});

it('is chosen when a machine is first started, told, and kept by it', async () => {
  const [store, runRoot] = [join(folder, 'store'), join(folder, 'run')];
  const engine = await openTestEngine();
  await mkdir(store);
  await mkdir(runRoot, { mode: 0o700 });
  const places = { book: join(folder, 'book.json'), store, diskFolder: join(folder, 'disks'), runRoot };
  const launcher = new QemuLauncher(places);
  const args = ['-m', '16', '-cpu', 'qemu64,-apic', '-bios', rom.bios];
  const run = async (request: Parameters<QemuLauncher['run']>[0]) => {
    const machine = await launcher.run(request, engine);
    const facts = await machine.facts?.();
    await machine.close();
    return facts;
  };
  const expected = await chooseAccelerator({}, { root: runRoot });
  const { accelerator, because: acceleratorBecause } = expected;
  expect(await run({ name: 'left', arguments: args })).toMatchObject({ accelerator, acceleratorBecause });
  expect(await run({ name: 'auto', arguments: ['-accel', 'auto', ...args] })).toMatchObject({
    accelerator,
    acceleratorBecause,
  });
  const own = { accelerator: 'tcg', acceleratorBecause: 'it was asked for' };
  expect(await run({ name: 'own', arguments: ['-accel', 'tcg', ...args] })).toMatchObject(own);
  // As it was, by its name alone.
  expect(await run({ name: 'own' })).toMatchObject(own);
  expect(await codeOf(() => run({ name: 'odd', arguments: ['-accel', 'hax', ...args] }))).toBe(
    'argument-invalid',
  );
  expect(await readdir(runRoot)).toEqual([]);
});
