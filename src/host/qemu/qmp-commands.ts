// The QMP commands that Vitrine uses: a closed table of names, arguments and answers. QEMU's own manual of them is
// https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html; each is in 7.2 and in 10.0.
//
// To use one more, add a row. Arguments become JSON and nothing else: a name with a quote in it stays a name.

/** Arguments and answer of one command. */
interface Command<Arguments, Answer> {
  readonly arguments: Arguments;
  readonly answer: Answer;
}

type None = Readonly<Record<string, never>>;

/** What a machine does, as `query-status` names it. */
export type RunState =
  | 'running'
  | 'paused'
  | 'prelaunch'
  | 'inmigrate'
  | 'postmigrate'
  | 'finish-migrate'
  | 'restore-vm'
  | 'save-vm'
  | 'suspended'
  | 'shutdown'
  | 'internal-error'
  | 'io-error'
  | 'watchdog'
  | 'guest-panicked'
  | 'debug'
  | 'colo';

/** A job, as `query-jobs` tells of it; `error` is there when it failed. */
export interface JobInfo {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly error?: string;
}

/** A block node over a file. */
export interface BlockNode {
  readonly 'node-name': string;
  readonly driver: string;
  readonly [option: string]: unknown;
}

export interface QmpCommands {
  readonly qmp_capabilities: Command<None, None>;
  readonly 'query-version': Command<None, { readonly qemu: Version; readonly package: string }>;
  readonly 'query-status': Command<None, { readonly status: RunState; readonly running: boolean }>;
  readonly 'query-jobs': Command<None, readonly JobInfo[]>;
  readonly 'query-chardev': Command<
    None,
    readonly { readonly label: string; readonly 'frontend-open': boolean }[]
  >;
  readonly 'query-memdev': Command<None, readonly MemoryDevice[]>;
  readonly 'query-cpus-fast': Command<
    None,
    readonly { readonly 'cpu-index': number; readonly 'qom-path': string }[]
  >;
  readonly 'query-kvm': Command<None, { readonly enabled: boolean; readonly present: boolean }>;
  readonly 'query-memory-size-summary': Command<
    None,
    { readonly 'base-memory': number; readonly 'plugged-memory'?: number }
  >;
  readonly 'query-migrate-capabilities': Command<
    None,
    readonly { readonly capability: string; readonly state: boolean }[]
  >;
  readonly 'query-block': Command<None, readonly BlockDevice[]>;
  readonly 'x-debug-query-block-graph': Command<None, BlockGraph>;
  readonly 'query-named-block-nodes': Command<
    { readonly flat?: boolean },
    readonly { readonly 'node-name'?: string; readonly drv?: string; readonly file?: string }[]
  >;
  /** What could be cut off where it hangs: a migration is there from its order until all of it is cleared away. */
  readonly 'query-yank': Command<None, readonly { readonly type: string; readonly id?: string }[]>;
  readonly yank: Command<{ readonly instances: readonly { readonly type: 'migration' }[] }, None>;
  readonly 'query-migrate': Command<
    None,
    {
      readonly status?: string;
      readonly 'error-desc'?: string;
      /** `transferred` in bytes. */
      /** Milliseconds that it would rest if it were to send the rest now, once it can tell. */
      readonly 'expected-downtime'?: number;
      readonly ram?: { readonly 'dirty-sync-count'?: number; readonly transferred?: number };
    }
  >;
  readonly 'human-monitor-command': Command<{ readonly 'command-line': string }, string>;
  readonly 'qom-get': Command<{ readonly path: string; readonly property: string }, unknown>;
  readonly 'qom-set': Command<
    { readonly path: string; readonly property: string; readonly value: unknown },
    None
  >;
  readonly 'qom-list': Command<
    { readonly path: string },
    readonly { readonly name: string; readonly type: string }[]
  >;
  readonly stop: Command<None, None>;
  readonly cont: Command<None, None>;
  readonly quit: Command<None, None>;
  readonly system_reset: Command<None, None>;
  readonly system_powerdown: Command<None, None>;
  readonly 'migrate-set-capabilities': Command<
    { readonly capabilities: readonly { readonly capability: string; readonly state: boolean }[] },
    None
  >;
  readonly 'migrate-set-parameters': Command<Readonly<Record<string, number | string | boolean>>, None>;
  readonly migrate: Command<{ readonly uri: string }, None>;
  readonly 'migrate-incoming': Command<{ readonly uri: string }, None>;
  readonly 'migrate-continue': Command<{ readonly state: 'pre-switchover' }, None>;
  readonly migrate_cancel: Command<None, None>;
  readonly 'xen-save-devices-state': Command<{ readonly filename: string; readonly live: boolean }, None>;
  readonly 'snapshot-save': Command<SnapshotJob, None>;
  readonly 'snapshot-load': Command<SnapshotJob, None>;
  readonly 'job-dismiss': Command<{ readonly id: string }, None>;
  readonly 'job-cancel': Command<{ readonly id: string }, None>;
  readonly 'blockdev-add': Command<BlockNode, None>;
  readonly 'blockdev-reopen': Command<{ readonly options: readonly BlockNode[] }, None>;
  readonly 'blockdev-del': Command<{ readonly 'node-name': string }, None>;
  readonly transaction: Command<
    { readonly actions: readonly { readonly type: string; readonly data: unknown }[] },
    None
  >;
  readonly 'x-query-virtio-status': Command<{ readonly path: string }, VirtioStatus>;
  readonly pmemsave: Command<
    { readonly val: number; readonly size: number; readonly filename: string },
    None
  >;
}

/** Commands that start a job under a name of our choice. */
export type JobCommand = 'snapshot-save' | 'snapshot-load';

export type ArgumentsOf<Name extends keyof QmpCommands> = QmpCommands[Name]['arguments'];
export type AnswerOf<Name extends keyof QmpCommands> = QmpCommands[Name]['answer'];

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

/** A drive; `inserted` where it holds a disk. */
export interface BlockDevice {
  readonly device: string;
  readonly qdev?: string;
  readonly inserted?: { readonly ro: boolean; readonly 'node-name'?: string };
}

/** How nodes hang together; `parent` and `child` are ids. */
export interface BlockGraph {
  readonly nodes: readonly { readonly id: number; readonly name: string }[];
  readonly edges: readonly { readonly parent: number; readonly child: number; readonly name: string }[];
}

/** A virtio device: what its driver said of itself, and which features the two agreed on, each a name and what it is. */
export interface VirtioStatus {
  readonly status?: { readonly statuses?: readonly string[] };
  readonly 'guest-features'?: { readonly 'dev-features'?: readonly string[] };
}

/** A memory backend. `id` is absent where nobody named it. */
export interface MemoryDevice {
  readonly id?: string;
  readonly size: number;
  readonly share?: boolean;
}

interface SnapshotJob {
  readonly 'job-id': string;
  readonly tag: string;
  readonly vmstate: string;
  readonly devices: readonly string[];
}
