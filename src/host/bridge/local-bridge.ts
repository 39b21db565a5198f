// A whole bridge on this host: store, engine, machines, server, audit and token file, opened and closed together.

import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SYSTEM_CLOCK } from '../../base/clock.ts';
import { VitrineError } from '../../base/error.ts';
import type { BellRinging } from '../../bridge/bell-book.ts';
import { serveSession, type VerbEvent } from '../../bridge/session.ts';
import { openFsStore } from '../../store/fs-store.ts';
import { readNamedFile } from '../file-error.ts';
import { makeFolder } from '../make-folder.ts';
import type { ServedBellRing } from '../qemu/bell-service.ts';
import { type Audit, type AuditEntry, openAuditFile } from './audit.ts';
import { openBellAudit } from './bell-audit.ts';
import { type BridgeServer, openBridgeServer } from './bridge-server.ts';
import { atMostOnceASecond, type EventLog } from './event-log.ts';
import { OWNER_ID } from './keyring.ts';
import { type Launcher, type LocalHost, openLocalHost } from './local-host.ts';
import { Metrics } from './metrics.ts';
import { newSecret } from './secret-table.ts';
import type { ServeConfig } from './serve-config.ts';
import { openStaticFolder } from './static-folder.ts';
import { holdStore, type ReleaseStore } from './store-holder.ts';
import {
  ensureRunFolder,
  removeTokenFile,
  runFolder,
  runningBridges,
  socketIn,
  writeTokenFile,
} from './token-file.ts';

export interface LocalBridgeOptions {
  /** The folder of the store; it is made if need be. */
  readonly store: string;
  readonly version: string;
  readonly log: EventLog;
  readonly launcher?: Launcher | undefined;
  /** Where the token file goes; `runFolder()` when left out. */
  readonly runFolder?: string;
}

/**
 * Opens a bridge. Throws `busy` when another one has the store, `argument-invalid`, and what store and platform throw;
 * nothing is left open then.
 */
export async function openLocalBridge(
  config: ServeConfig,
  options: LocalBridgeOptions,
): Promise<LocalBridge> {
  const run = options.runFolder ?? runFolder();
  await makeFolder(options.store);
  const folder = await realpath(options.store);
  const other = (await runningBridges(run)).find(({ store }) => store === folder);
  if (other !== undefined) {
    throw new VitrineError('busy', { store: folder, bridge: other.origin, pid: other.pid });
  }
  const release = await holdStore(folder);
  const undo: (() => unknown)[] = [release];
  try {
    const store = await openFsStore(folder);
    undo.push(() => store.close());
    const host = await openLocalHost({
      ...{ store, version: options.version, launcher: options.launcher, spoolFolder: folder },
    });
    undo.push(() => host.close({ keepMachines: true }));
    for (const { name, state } of host.machines()) {
      if (state !== 'stopped') options.log('info', 'machine-found', { machine: name, state });
    }
    for (const { name, outcome, ...more } of options.launcher?.left ?? []) {
      const isWell = outcome === 'continued' || outcome === 'untouched';
      options.log(isWell ? 'info' : 'warn', 'attached-machine-left', { machine: name, outcome, ...more });
    }
    const audit = config.audit === undefined ? undefined : await openAudit(config.audit);
    undo.push(() => audit?.close());
    if (options.launcher !== undefined) {
      const write = (entry: AuditEntry): void => writeAudit(audit, entry, options.log);
      const note = openBellAudit(write, () => SYSTEM_CLOCK.nowMs());
      options.launcher.onRing = (machine, ring) => {
        note(machine, ring);
        host.bells.add(ringingOf(machine, ring));
      };
    }
    const token = newSecret();
    await ensureRunFolder(run);
    const socket = socketIn(run);
    const server = await openServer(config, { ...options, host, audit, token, socket });
    undo.push(() => server.close());
    const { pid } = process;
    const { version } = options;
    const tokenFile = await writeTokenFile(run, {
      ...{ pid, port: server.port, origin: server.origin, socket, token, version, store: folder },
    });
    const { keepMachines } = config;
    return new LocalBridge({ server, host, audit, tokenFile, socket, keepMachines, release });
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

interface BridgeParts {
  readonly server: BridgeServer;
  readonly host: LocalHost;
  readonly audit: Audit | undefined;
  readonly tokenFile: string;
  readonly socket: string | null;
  readonly keepMachines: boolean;
  readonly release: ReleaseStore;
}

export class LocalBridge {
  readonly server: BridgeServer;
  readonly host: LocalHost;
  readonly tokenFile: string;
  readonly #audit: Audit | undefined;
  readonly #socket: string | null;
  readonly #keepMachines: boolean;
  readonly #release: ReleaseStore;
  #closed: Promise<void> | undefined;

  constructor({ server, host, audit, tokenFile, socket, keepMachines, release }: BridgeParts) {
    this.#release = release;
    this.#keepMachines = keepMachines;
    this.#socket = socket;
    this.server = server;
    this.host = host;
    this.tokenFile = tokenFile;
    this.#audit = audit;
  }

  /** How long nobody was connected, nothing ran and no machine was there, in milliseconds. */
  get idleMs(): number {
    const isWorking = this.host.jobs.list().some((job) => !job.hasEnded) || this.host.machines().length > 0;
    return isWorking ? 0 : this.server.idleMs;
  }

  /** Connections first, then jobs and machines, then the store: nothing is written once it has resolved. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // Whoever looks for a bridge now is to find none.
    await removeTokenFile(this.tokenFile, { socket: this.#socket });
    await this.server.close();
    await this.host.close({ keepMachines: this.#keepMachines });
    this.#audit?.close();
    await this.#release();
  }
}

async function openServer(
  config: ServeConfig,
  options: LocalBridgeOptions & {
    readonly host: LocalHost;
    readonly audit: Audit | undefined;
    readonly token: string;
    readonly socket: string | null;
  },
): Promise<BridgeServer> {
  const { host, audit, log, token, version, socket } = options;
  const metrics = new Metrics();
  const logFailure = atMostOnceASecond(log, () => SYSTEM_CLOCK.nowMs());
  const { tls, limits } = config;
  return openBridgeServer({
    ...{ listen: config.listen, behindProxy: config.behindProxy, limits, tokens: config.tokens },
    ...{ allowHosts: config.allowHosts, allowOrigins: config.allowOrigins, ownerToken: token },
    socketPath: socket ?? undefined,
    ...(tls === undefined
      ? {}
      : { tls: { cert: await readNamedFile(tls.cert), key: await readNamedFile(tls.key) } }),
    page: config.page === undefined ? undefined : await openStaticFolder(config.page),
    images: config.images === undefined ? undefined : await openStaticFolder(config.images),
    clock: SYSTEM_CLOCK,
    ...{ log, metrics, spares: options.launcher?.spares },
    health: () => ({ version }),
    serve: (channel, visitor) => {
      const isOwner = visitor.id === OWNER_ID;
      serveSession(channel, host, visitor.grant, {
        highWaterBytes: limits.highWaterBytes,
        requestsPerSecond: isOwner ? limits.ownerRequestsPerSecond : limits.requestsPerSecond,
        requestBurst: isOwner ? limits.ownerRequestBurst : limits.requestBurst,
        onVerb: (event) => {
          metrics.add('vitrine_bridge_verbs_total', { verb: event.verb, result: event.outcome });
          metrics.add('vitrine_bridge_verb_seconds_total', { verb: event.verb }, event.durationMs / 1_000);
          const { id, remote } = visitor;
          if (event.permission === 'observe') return;
          writeAudit(audit, { ...event, visitor: id, remote }, log);
          tellFailure(event, id, logFailure);
        },
        onInternalError: (error, verb) => log('error', 'verb-failed', { verb, message: String(error) }),
      });
    },
  });
}

const ANSWERS = { first: 'saved', restored: 'restored', refused: 'refused' } as const;

function ringingOf(machine: string, { word, answer, error, snapshot, tookMs }: ServedBellRing): BellRinging {
  return { machine, asked: word, answer: ANSWERS[answer], code: error?.code ?? null, snapshot, tookMs };
}

/** What its visitor was told, for the operator who looks into the log; not what the visitor gave up. */
function tellFailure({ verb, outcome, notes }: VerbEvent, visitor: string, log: EventLog): void {
  if (outcome === 'ok' || outcome === 'aborted' || outcome === 'connection-lost') return;
  const { machine, snapshot } = notes;
  const of = {
    ...(typeof machine === 'string' && { machine }),
    ...(typeof snapshot === 'string' && { snapshot }),
  };
  log('warn', `${verb}-failed`, { code: outcome, ...of, visitor });
}

/** The verb has been done by then: an audit that cannot be written is the operator's to hear of at once. */
function writeAudit(audit: Audit | undefined, entry: AuditEntry, log: EventLog): void {
  try {
    audit?.write(entry);
  } catch (error) {
    log('error', 'audit-failed', { verb: entry.verb, message: String(error) });
  }
}

async function openAudit(path: string): Promise<Audit> {
  await makeFolder(dirname(path));
  return openAuditFile(path, () => Date.now());
}
