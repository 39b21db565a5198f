// Where a running bridge says how to reach it: one file a port in a folder that only its owner can look into. Whoever
// can read it holds the owner's token, so that nothing secret stands in an argument, the environment or a log.

import { randomBytes } from 'node:crypto';
import { chmod, lstat, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VitrineError } from '../../base/error.ts';
import { makeFolder } from '../make-folder.ts';

export interface TokenFile {
  readonly pid: number;
  readonly port: number;
  /** Where the page is. */
  readonly origin: string;
  /** The UNIX socket for programs of this host; null where the platform has none. */
  readonly socket: string | null;
  readonly token: string;
  readonly version: string;
  /** The folder of its store; null without one. */
  readonly store: string | null;
}

const FILE_NAME = /^bridge-\d{1,5}\.json$/;

/** `$VITRINE_RUN_DIR`, else `vitrine` in `$XDG_RUNTIME_DIR`, else a folder of this user among the temporary ones. */
export function runFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { VITRINE_RUN_DIR: own, XDG_RUNTIME_DIR: runtime } = environment;
  if (own !== undefined && own !== '') return own;
  if (runtime !== undefined && runtime !== '') return join(runtime, 'vitrine');
  return join(tmpdir(), `vitrine-${process.getuid?.() ?? 'user'}`);
}

/** The socket of a bridge; null on platforms without. Paths of sockets end at 107 bytes, on macOS at 103. */
export function socketIn(folder: string): string | null {
  const path = join(folder, `bridge-${process.pid}-${randomBytes(4).toString('hex')}.sock`);
  return process.platform === 'win32' || Buffer.byteLength(path) > 103 ? null : path;
}

/** Makes the folder if need be. Throws `store-io` when it is somebody else's, or others can look into it. */
export async function ensureRunFolder(folder: string): Promise<void> {
  await makeFolder(folder);
  if (!(await isOwnFolder(folder))) {
    throw new VitrineError('store-io', { folder, wants: 'a folder of this user, no link' });
  }
  if (process.platform !== 'win32') await chmod(folder, 0o700);
}

/** Writes it; it appears whole or not at all. */
export async function writeTokenFile(folder: string, content: TokenFile): Promise<string> {
  await ensureRunFolder(folder);
  const path = join(folder, `bridge-${content.port}.json`);
  const part = `${path}.${process.pid}.part`;
  await rm(part, { force: true });
  await writeFile(part, `${JSON.stringify(content)}\n`, { mode: 0o600, flag: 'wx' });
  await rename(part, path);
  return path;
}

/** The bridges of this user that run, by their files; files of those that do not are removed. */
export async function runningBridges(folder: string): Promise<TokenFile[]> {
  // Somebody else's folder would name somebody else's bridge, which would then be told what to do by this user.
  if (!(await isOwnFolder(folder))) return [];
  const names = await readdir(folder);
  const bridges: TokenFile[] = [];
  for (const name of names.filter((one) => FILE_NAME.test(one)).sort()) {
    const path = join(folder, name);
    const content = await readTokenFile(path);
    if (content === undefined) continue;
    if (isRunning(content.pid)) bridges.push(content);
    else await removeTokenFile(path, content);
  }
  return bridges;
}

/** A link does not count: whoever may write to the temporary folder could have put it. */
async function isOwnFolder(folder: string): Promise<boolean> {
  const info = await lstat(folder).catch(() => undefined);
  return info?.isDirectory() === true && (process.getuid === undefined || info.uid === process.getuid());
}

/** Removes what stands for a bridge: its file, its socket, and the page that opened its address. */
export async function removeTokenFile(path: string, { socket }: Pick<TokenFile, 'socket'>): Promise<void> {
  for (const file of [path, path.replace(/\.json$/, '.html'), socket]) {
    if (typeof file === 'string') await rm(file, { force: true });
  }
}

async function readTokenFile(path: string): Promise<TokenFile | undefined> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<TokenFile> | null;
    const isWhole = typeof value?.pid === 'number' && typeof value.origin === 'string';
    // Safe: this program wrote it, whole; a file of another shape is passed over.
    return isWhole ? (value as TokenFile) : undefined;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
