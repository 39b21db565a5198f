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
const MEMORY = '1500M';
const INLINED = '?url&inline';

const START_SCRIPT = `#!/bin/sh
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
node /bin/program.mjs
echo "inside: ended with $?"
poweroff -f
`;

/**
 * Runs a program of this folder inside; returns the lines that it and the kernel printed. Throws, with the last of them, when the
 * program fails.
 */
export async function runInside(qemu: string, program: string): Promise<string[]> {
  const kernel = join(IMAGES, 'vmlinuz-amd64');
  if (!existsSync(kernel)) throw new Error('the kernel for amd64 is missing: run `npm run guests`');
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-inside-'));
  try {
    const initrd = join(folder, 'initrd');
    const base = await readFile(join(IMAGES, 'initrd'));
    const found = execFileSync('sh', ['-c', 'command -v "$0"', qemu], { encoding: 'utf8' }).trim();
    await writeFile(initrd, [base, archiveOf(found, await bundleOf(program))]);
    const lines = await boot(qemu, kernel, initrd);
    if (!lines.includes('inside: ended with 0')) throw new Error(`it failed inside:\n${lines.join('\n')}`);
    return lines;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function boot(qemu: string, kernel: string, initrd: string): Promise<string[]> {
  const append = `console=ttyS0 quiet rdinit=/${START} mitigations=off no_timer_check init_on_alloc=0 random.trust_cpu=on`;
  const machine = ['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', MEMORY];
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
function archiveOf(qemu: string, program: string): Uint8Array {
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
  add('bin/program.mjs', Buffer.from(program));
  add(START, Buffer.from(START_SCRIPT));
  return finish();
}

function librariesOf(program: string): string[] {
  return [...execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)].map(
    ([, path]) => path!,
  );
}
