// `vitrine serve`: the bridge and the page, until it is told to end.

import { execFile, spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { VitrineError } from '../../base/error.ts';
import { openEventLog } from '../bridge/event-log.ts';
import { type LocalBridge, openLocalBridge } from '../bridge/local-bridge.ts';
import { QemuLauncher } from '../bridge/qemu-launcher.ts';
import { configOf, readSettings, type ServeSettings } from '../bridge/serve-config.ts';
import { runFolder } from '../bridge/token-file.ts';
import { type Command, type Output, type Surroundings, UsageError } from './command.ts';
import { defaultStore } from './default-store.ts';
import { findPackage, folderOfPackage } from './package-place.ts';

const HELP = `vitrine serve
vitrine serve --open
vitrine serve --listen 127.0.0.1:0 --store snapshots --idle-exit 30m
vitrine serve --listen 0.0.0.0:7333 --tls-cert cert.pem --tls-key key.pem --allow-host lab.example
vitrine serve --config bridge.json

Serves the page and the machines of this host. Prints an address that opens the page once; "vitrine open" prints another one.

  --listen HOST:PORT      where; 127.0.0.1:7333 when left out. Port 0 takes a free one
  --store DIR             where snapshots are kept; $VITRINE_STORE or ~/.local/share/vitrine/store when left out
  --open                  opens the page in this user's browser
  --tls-cert, --tls-key   files in PEM; without them, only addresses of the loopback are served
  --behind-proxy          something in front speaks TLS and passes Host and Origin on
  --allow-host NAME       a name that the Host header may have; may be given again
  --allow-origin ORIGIN   another page's origin that may ask; may be given again
  --page DIR              the built page; that of this package when left out
  --images DIR            images of guests, served at /guests/; ".guests" of this package when left out
  --audit FILE            a JSON line for each privileged verb; DIR.audit.jsonl beside the store when left out
  --keep-machines         machines go on when it ends, and the next one on this store takes them over
  --spare N               processes that may wait for the next lazy restore, once there was one: 1 when left out, 0 for none.
                          Each takes some 30 MiB and ends when nobody needed it for ten minutes
  --idle-exit TIME        ends when nobody was connected and nothing ran for so long: 90s, 30m, 8h
  --config FILE           the same as JSON (listen, allowHosts …), with limits and tokens; flags go before it
  --json                  prints one JSON object; the log is JSON as well
  -h, --help              this text

SIGTERM or Ctrl-C ends it: jobs are cancelled, machines that it started end unless they are kept, snapshots are whole. A second
Ctrl-C does not wait. Where it is killed, its machines go on, and the next one on the same store takes them over.
Memory of machines is in files, in /dev/shm where there is room; $VITRINE_MACHINES_DIR, a folder of mode 0700, is another place.
Exit code: 0 ended as told, 1 failed, 2 the command line was not understood, 5 another bridge has that store.
`;

export const serveCommand: Command = {
  name: 'serve',
  summary: 'the page and the machines of this host, on an address of its own',
  help: HELP,
  run,
};

async function run(args: readonly string[], output: Output, surroundings: Surroundings): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      listen: { type: 'string' },
      store: { type: 'string' },
      open: { type: 'boolean' },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
      'behind-proxy': { type: 'boolean' },
      'allow-host': { type: 'string', multiple: true },
      'allow-origin': { type: 'string', multiple: true },
      page: { type: 'string' },
      images: { type: 'string' },
      audit: { type: 'string' },
      'idle-exit': { type: 'string' },
      'keep-machines': { type: 'boolean' },
      spare: { type: 'string' },
      config: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  if (positionals.length > 0) throw new UsageError(`what is "${positionals[0]}"? serve takes options alone`);
  const { config: file, open, json, ...flags } = values;
  const config = configOf({
    page: folderOfPackage('dist', 'page'),
    images: folderOfPackage('.guests'),
    ...(file === undefined ? {} : await readSettings(file)),
    ...settingsOf(flags),
  });
  const { version } = findPackage();
  const store = config.store ?? defaultStore(surroundings.environment);
  const log = openEventLog({
    write: (line) => output.error(line),
    wallMs: () => Date.now(),
    format: json || surroundings.columns === undefined ? 'json' : 'terminal',
  });
  const beside = resolve(store);
  const audit = config.audit ?? `${beside}.audit.jsonl`;
  const runIn = runFolder(surroundings.environment);
  const qemu = await qemuVersion();
  const launcher =
    qemu === null
      ? undefined
      : new QemuLauncher({
          book: `${beside}.machines.json`,
          store: beside,
          diskFolder: `${beside}.disks`,
          touchFolder: `${beside}.touches`,
          runRoot: surroundings.environment.VITRINE_MACHINES_DIR,
          profiles: config.profiles,
          spare: config.spare,
        });
  const options = { store, version, log, launcher, runFolder: runIn };
  const bridge = await openLocalBridge({ ...config, audit }, options).catch(explainPort);
  try {
    const address = bridge.server.mintAddress();
    const { origin } = bridge.server;
    if (json) {
      output.out(`${JSON.stringify({ origin, address, tokenFile: bridge.tokenFile, store, qemu })}\n`);
    } else {
      output.out(`${address}\n`);
      output.error(textOf({ store, qemu, hasPage: config.page !== undefined }));
    }
    if (open) await openPage(bridge, address, output);
    await untilEnd(bridge, config.idleExitMs, surroundings.signal);
    log('info', 'closing');
  } finally {
    await bridge.close();
  }
}

/** Flags in the words of the configuration file. */
function settingsOf(flags: Readonly<Record<string, unknown>>): ServeSettings {
  const names: Readonly<Record<string, string>> = {
    'allow-host': 'allowHosts',
    'allow-origin': 'allowOrigins',
  };
  return Object.fromEntries(
    Object.entries(flags)
      .filter(([, value]) => value !== undefined)
      .map(([flag, value]) => [
        names[flag] ?? flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase()),
        value,
      ]),
  );
}

function textOf(facts: {
  readonly store: string;
  readonly qemu: string | null;
  readonly hasPage: boolean;
}): string {
  const lines = [
    'Open the address above: it works once, for a quarter of an hour. "vitrine open" prints another one.',
    `Snapshots of this host's machines: ${facts.store}`,
    facts.qemu === null
      ? 'No QEMU here (qemu-system-x86_64): machines run in the page; install QEMU to run them on this host.'
      : `QEMU ${facts.qemu}`,
    ...(facts.hasPage ? [] : ['No page was built: "npm run build" makes it, --page names one.']),
  ];
  return `${lines.join('\n')}\n`;
}

/** Resolves when the user or nobody's use ends it. */
function untilEnd(bridge: LocalBridge, idleExitMs: number | undefined, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (idleExitMs !== undefined && bridge.idleMs >= idleExitMs) end();
    }, 250);
    const end = (): void => {
      clearInterval(timer);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

/** The version of this host's QEMU; null without one. */
function qemuVersion(): Promise<string | null> {
  return new Promise((resolve) => {
    execFile('qemu-system-x86_64', ['--version'], { timeout: 10_000 }, (error, text) => {
      resolve(error === null ? (/version (\S+)/.exec(text)?.[1] ?? 'of unknown version') : null);
    });
  });
}

/**
 * Opens the page by way of a file that only its owner reads: arguments of programs, and so an address among them, are
 * everybody's to see.
 */
async function openPage(bridge: LocalBridge, address: string, output: Output): Promise<void> {
  const file = bridge.tokenFile.replace(/\.json$/, '.html');
  const text = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=${address}">\n`;
  await rm(file, { force: true });
  await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  const programs: Partial<Record<NodeJS.Platform, string>> = { darwin: 'open', win32: 'explorer' };
  const program = programs[process.platform] ?? 'xdg-open';
  const child = spawn(program, [file], { stdio: 'ignore', detached: true });
  child.on('error', () => output.error(`vitrine: ${program} is not here; open the address yourself\n`));
  child.unref();
}

/** Most often another bridge has the port, which a code of the platform does not say. */
function explainPort(error: unknown): never {
  if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') {
    const { message } = error as Error;
    throw new VitrineError('busy', {
      wants: 'another --listen, or "vitrine open" if it is a bridge',
      message,
    });
  }
  throw error;
}
