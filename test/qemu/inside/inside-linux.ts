// A Linux with another kernel than the one that is here: Debian's for amd64, in QEMU, with programs and libraries of this machine
// in its initial RAM disk. A program of ours runs in it, with Node and a QEMU of its own, and prints what it sees.
//
//   .guests/initrd  ┐
//   node, QEMU, the ├─▶ RAM disk ─▶ vmlinuz-amd64 ─▶ node program ─▶ ttyS0 ─▶ lines
//   program         ┘

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { startArchive } from '../../guests/initrd.mjs';

const IMAGES = fileURLToPath(new URL('../../../.guests/', import.meta.url));
/** Where a program of the initial RAM disk starts; its shell is in `bin`. */
const START = 'bin/inside';
const FOLDERS = ['usr', 'dev/shm', 'lib64', 'usr/bin', 'usr/lib'];
/** Debian's QEMU has its accelerator apart. */
const QEMU_PARTS = ['/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so'];
/** What a PC needs to boot a kernel, of Debian's QEMU and SeaBIOS. */
const FIRMWARE = [
  '/usr/share/seabios/bios-256k.bin',
  '/usr/share/qemu/kvmvapic.bin',
  '/usr/share/qemu/linuxboot_dma.bin',
];
const INLINED = '?url&inline';

/** What there is beside Node, QEMU and the program. */
export interface Inside {
  /** Drivers of `.guests/drivers-amd64` that are loaded before the program starts. */
  readonly drivers?: readonly string[];
  /** Files of `.guests`, each in `/images`; and what QEMU itself brings to boot a machine. */
  readonly images?: readonly string[];
  readonly cpu?: string;
  readonly cpus?: number;
  readonly memoryMib?: number;
  /** Begun anew so often where the kernel inside panics, which is the translated processor's fault and not the program's; never when left out. */
  readonly retries?: number;
}

const startScript = (drivers: readonly string[]): string => `#!/bin/sh
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
ip link set lo up
for driver in ${drivers.join(' ')}; do insmod /lib/modules/$driver.ko || exit; done
node /bin/program.mjs
echo "inside: ended with $?"
poweroff -f
`;

/**
 * Runs a program of this folder inside; returns the lines that it and the kernel printed. Throws, with the last of them, when the
 * program fails.
 */
export async function runInside(qemu: string, program: string, inside: Inside = {}): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-inside-'));
  try {
    const initrd = join(folder, 'initrd');
    const base = imageOf(inside.drivers === undefined ? 'initrd' : 'initrd-amd64');
    const found = execFileSync('sh', ['-c', 'command -v "$0"', qemu], { encoding: 'utf8' }).trim();
    await writeFile(initrd, [base, archiveOf(found, await bundleOf(program), inside)]);
    let lines = await boot(qemu, initrd, inside);
    for (let left = inside.retries ?? 0; left > 0 && lines.some(isPanic); left--) {
      console.error(`inside: the kernel panicked, once more: ${lines.find(isPanic)}`);
      lines = await boot(qemu, initrd, inside);
    }
    if (!lines.includes('inside: ended with 0')) throw new Error(`it failed inside:\n${lines.join('\n')}`);
    return lines;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const isPanic = (line: string): boolean => line.includes('Kernel panic - not syncing');

/** One of the files of `.guests`; `initrd-amd64` is its RAM disk with drivers of 64 bits. */
function imageOf(name: string): Buffer {
  if (name === 'initrd-amd64') return Buffer.concat([imageOf('initrd'), imageOf('drivers-amd64')]);
  const path = join(IMAGES, name);
  if (!existsSync(path)) throw new Error(`${name} of .guests is missing: run \`npm run guests\``);
  return readFileSync(path);
}

async function boot(
  qemu: string,
  initrd: string,
  { cpu = 'max', cpus = 2, memoryMib = 1500 }: Inside,
): Promise<string[]> {
  const kernel = join(IMAGES, 'vmlinuz-amd64');
  const append = `console=ttyS0 quiet rdinit=/${START} mitigations=off no_timer_check init_on_alloc=0 random.trust_cpu=on panic=-1`;
  const processors = [
    '-accel',
    `tcg,thread=${cpus > 1 ? 'multi' : 'single'}`,
    '-cpu',
    cpu,
    '-smp',
    `${cpus}`,
  ];
  const machine = ['-machine', 'q35', ...processors, '-m', `${memoryMib}M`];
  const devices = ['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'];
  const images = ['-kernel', kernel, '-initrd', initrd, '-append', append];
  const child = spawn(qemu, [...machine, ...devices, ...images], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const end = () => void child.kill('SIGKILL');
  process.once('exit', end);
  try {
    await once(child, 'close');
  } finally {
    process.off('exit', end);
    child.kill('SIGKILL');
  }
  return output.replaceAll('\r', '').split('\n');
}

/** The program in one text, with the kernels in it. */
async function bundleOf(program: string): Promise<string> {
  const require = createRequire(import.meta.url);
  const bundle = await rolldown({
    input: fileURLToPath(new URL(program, import.meta.url)),
    platform: 'node',
    logLevel: 'warn',
    plugins: [
      {
        name: 'inline-wasm',
        resolveId: (id) =>
          id.endsWith(INLINED) ? require.resolve(id.slice(0, -INLINED.length)) + INLINED : null,
        load: async (id) => {
          if (!id.endsWith(INLINED)) return null;
          const base64 = (await readFile(id.slice(0, -INLINED.length))).toString('base64');
          return `export default 'data:application/wasm;base64,${base64}';`;
        },
      },
    ],
  });
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false });
  await bundle.close();
  return output[0].code;
}

/** What is there beside busybox: Node, QEMU, the libraries of both, where they are here. */
function archiveOf(qemu: string, program: string, { drivers = [], images }: Inside): Uint8Array {
  const { entry, finish } = startArchive();
  const folders = new Set<string>();
  const addFolder = (path: string): void => {
    if (path === '.' || folders.has(path)) return;
    addFolder(dirname(path));
    folders.add(path);
    entry(path, 0o040755);
  };
  const add = (path: string, content: Uint8Array): void => {
    addFolder(dirname(path));
    entry(path, 0o100755, content);
  };
  for (const folder of FOLDERS) addFolder(folder);
  const parts = QEMU_PARTS.filter((path) => existsSync(path));
  const libraries = new Set([process.execPath, qemu, ...parts].flatMap(librariesOf));
  for (const path of [...libraries, ...parts]) add(path.slice(1), readFileSync(path));
  add('usr/bin/node', readFileSync(process.execPath));
  add('usr/bin/qemu-system-x86_64', readFileSync(qemu));
  for (const image of images ?? []) add(`images/${image}`, imageOf(image));
  if (images !== undefined)
    for (const path of FIRMWARE.filter(existsSync)) add(path.slice(1), readFileSync(path));
  add('bin/program.mjs', Buffer.from(program));
  add(START, Buffer.from(startScript(drivers)));
  return finish();
}

function librariesOf(program: string): string[] {
  return [...execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)].map(
    ([, path]) => path!,
  );
}
