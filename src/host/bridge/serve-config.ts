// What `vitrine serve` is told: a configuration file, and flags that go before it. Nothing secret is in either: tokens stand
// as SHA-256, the owner's is made anew at each start.

import { VitrineError } from '../../base/error.ts';
import { MACHINE_NAME_PATTERN } from '../../engine/snapshot.ts';
import { readNamedFile } from '../file-error.ts';
import { readAccess } from './grant.ts';
import type { NamedToken } from './keyring.ts';
import { type MachineRecipe, readMemory, recipeOf } from './qemu-arguments.ts';
import { limitsWith, type ServerLimits } from './server-limits.ts';

export interface ServeConfig {
  readonly listen: { readonly host: string; readonly port: number };
  readonly store: string | undefined;
  readonly page: string | undefined;
  readonly images: string | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly behindProxy: boolean;
  readonly allowHosts: readonly string[];
  readonly allowOrigins: readonly string[];
  readonly tokens: readonly NamedToken[];
  readonly audit: string | undefined;
  /** Without connections and work for so long, it ends; undefined never. */
  readonly idleExitMs: number | undefined;
  /** Whether machines go on when the bridge ends as it was told to; when it is killed they do in any case. */
  readonly keepMachines: boolean;
  /** Processes that may wait for the next lazy restore; none is started for 0. */
  readonly spare: number;
  /** What machines may be made of, by name: for those who may start theirs and not say what of. */
  readonly profiles: Readonly<Record<string, MachineRecipe>>;
  readonly limits: ServerLimits;
}

/** Keys of the file, and of what flags make of themselves. */
export type ServeSettings = Readonly<Record<string, unknown>>;

const KEYS = [
  ...['listen', 'store', 'page', 'images', 'tlsCert', 'tlsKey', 'behindProxy', 'allowHosts', 'allowOrigins'],
  ...['tokens', 'audit', 'idleExit', 'keepMachines', 'spare', 'profiles', 'limits'],
];

/** One machine at a time is put back; a class needs more. */
const DEFAULT_SPARE = 1;
const MAX_SPARE = 64;
const DEFAULT_LISTEN = '127.0.0.1:7333';

/** The settings in a file. Throws as `fileError`, and `argument-invalid` for what is no JSON object. */
export async function readSettings(path: string): Promise<ServeSettings> {
  const text = (await readNamedFile(path)).toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    // Safe: an object; every key of it is looked at by `configOf`.
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as ServeSettings;
  } catch (cause) {
    throw new VitrineError('argument-invalid', { file: path, wants: 'JSON' }, { cause });
  }
  throw new VitrineError('argument-invalid', { file: path, wants: 'an object' });
}

/** The configuration of some settings. Throws `argument-invalid` with the key. */
export function configOf(settings: ServeSettings): ServeConfig {
  for (const name of Object.keys(settings)) {
    if (!KEYS.includes(name)) throw new VitrineError('argument-invalid', { name, known: KEYS });
  }
  const cert = textOf(settings, 'tlsCert');
  const key = textOf(settings, 'tlsKey');
  if ((cert === undefined) !== (key === undefined)) {
    throw new VitrineError('argument-invalid', { name: 'tlsCert', wants: 'tlsKey beside it, or neither' });
  }
  const idleExit = textOf(settings, 'idleExit');
  return {
    listen: readListen(textOf(settings, 'listen') ?? DEFAULT_LISTEN),
    store: textOf(settings, 'store'),
    page: textOf(settings, 'page'),
    images: textOf(settings, 'images'),
    tls: cert === undefined || key === undefined ? undefined : { cert, key },
    behindProxy: settings.behindProxy === true,
    allowHosts: textsOf(settings, 'allowHosts'),
    allowOrigins: textsOf(settings, 'allowOrigins').map(readOrigin),
    tokens: readTokens(settings.tokens),
    audit: textOf(settings, 'audit'),
    idleExitMs: idleExit === undefined ? undefined : readDuration(idleExit),
    keepMachines: settings.keepMachines === true,
    spare: readSpare(settings.spare),
    profiles: readProfiles(settings.profiles ?? {}),
    limits: limitsWith(readObject(settings.limits ?? {}, 'limits')),
  };
}

/** `7333`, `127.0.0.1:7333`, `[::1]:0`. */
export function readListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+)):)?(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new VitrineError('argument-invalid', { name: 'listen', value: text, wants: 'HOST:PORT' });
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}

/** `90s`, `30m`, `8h`, in milliseconds. */
export function readDuration(text: string): number {
  const match = /^(\d{1,6})(s|m|h)$/.exec(text);
  if (match === null)
    throw new VitrineError('argument-invalid', { name: 'idleExit', value: text, wants: '90s, 30m or 8h' });
  return Number(match[1]) * { s: 1_000, m: 60_000, h: 3_600_000 }[match[2] as 's' | 'm' | 'h'];
}

function readSpare(value: unknown): number {
  const count = value === undefined ? DEFAULT_SPARE : typeof value === 'string' ? readDigits(value) : value;
  if (typeof count === 'number' && Number.isInteger(count) && count >= 0 && count <= MAX_SPARE) return count;
  throw new VitrineError('argument-invalid', { name: 'spare', wants: `a number up to ${MAX_SPARE}` });
}

function readDigits(text: string): number {
  return /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
}

function readOrigin(text: string): string {
  if (/^https?:\/\/[a-z0-9.[\]:-]+$/.test(text)) return text;
  throw new VitrineError('argument-invalid', {
    name: 'allowOrigins',
    value: text,
    wants: 'SCHEME://HOST[:PORT]',
  });
}

function readTokens(value: unknown): NamedToken[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new VitrineError('argument-invalid', { name: 'tokens', wants: 'a list' });
  return value.map((row: unknown, index) => {
    const place = `tokens[${index}]`;
    const { name, sha256, access, ...others } = readObject(row, place);
    if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name) || name === 'owner') {
      throw new VitrineError('argument-invalid', { name: `${place}.name`, wants: 'a name other than owner' });
    }
    if (sha256 !== undefined && (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))) {
      throw new VitrineError('argument-invalid', { name: `${place}.sha256`, wants: '64 hexadecimal digits' });
    }
    const [other] = Object.keys(others);
    if (other !== undefined) throw new VitrineError('argument-invalid', { name: `${place}.${other}` });
    return {
      name,
      digest: sha256 === undefined ? undefined : Buffer.from(sha256, 'hex'),
      access: readAccess(access, `${place}.access`),
    };
  });
}

function readProfiles(value: unknown): Readonly<Record<string, MachineRecipe>> {
  const rows = Object.entries(readObject(value, 'profiles')).map(([name, row]): [string, MachineRecipe] => {
    const place = `profiles.${name}`;
    if (!MACHINE_NAME_PATTERN.test(name)) throw new VitrineError('argument-invalid', { name: place });
    const settings = readObject(row, place);
    const other = Object.keys(settings).find((key) => key !== 'memory' && key !== 'arguments');
    if (other !== undefined) throw new VitrineError('argument-invalid', { name: `${place}.${other}` });
    const memory = textOf(settings, 'memory');
    const memoryBytes = memory === undefined ? undefined : readMemory(memory);
    return [name, recipeOf(textsOf(settings, 'arguments'), { memoryBytes })];
  });
  return Object.fromEntries(rows);
}

function readObject(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VitrineError('argument-invalid', { name, wants: 'an object' });
  }
  // Safe: looked at above; each field is looked at by who reads it.
  return value as Record<string, unknown>;
}

function textOf(settings: ServeSettings, name: string): string | undefined {
  const value = settings[name];
  if (value === undefined || (typeof value === 'string' && value !== '')) return value as string | undefined;
  throw new VitrineError('argument-invalid', { name, wants: 'a text' });
}

function textsOf(settings: ServeSettings, name: string): readonly string[] {
  const value = settings[name] ?? [];
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new VitrineError('argument-invalid', { name, wants: 'a list of texts' });
}
