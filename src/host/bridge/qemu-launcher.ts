// Starts QEMU machines for a bridge, and remembers what each was made of in a file beside the store, so that after a
// restart of the bridge a machine can be started again, or brought to one of its snapshots, by its name alone.
//
// Machines end with their bridge. Where it was killed, the next one that starts a machine ends what was left.

import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { WorkOptions } from '../../base/work.ts';
import type { RunRequest } from '../../bridge/host.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import type { ConfigValue } from '../../guest/guest.ts';
import type { QemuProfile } from '../qemu/profile.ts';
import type { LaunchedMachine, Launcher } from './local-host.ts';
import { profileOfArguments } from './qemu-arguments.ts';
import { QemuHostMachine } from './qemu-host-machine.ts';

/** What a book of machines holds. */
type Profiles = Readonly<Record<string, QemuProfile>>;

export class QemuLauncher implements Launcher {
  readonly #bookPath: string;

  /** `bookPath` is the file of profiles; it need not be there. */
  constructor(bookPath: string) {
    this.#bookPath = bookPath;
  }

  async known(engine: Vitrine): Promise<LaunchedMachine[]> {
    const profiles = await this.#read();
    return Object.entries(profiles).map(([name, profile]) => new QemuHostMachine(name, profile, engine));
  }

  async run(request: RunRequest, engine: Vitrine): Promise<LaunchedMachine> {
    const { name, memoryBytes, arguments: args } = request;
    // A machine that is named alone is the one that it was.
    const isNamedAlone = memoryBytes === undefined && args === undefined;
    const before = isNamedAlone ? await this.#profileOf(name) : undefined;
    const profile = before ?? profileOfArguments(args ?? [], memoryBytes);
    return this.#start(name, profile, engine, (machine) => machine.start());
  }

  async fork(
    snapshot: SnapshotId,
    name: string,
    engine: Vitrine,
    options: WorkOptions,
  ): Promise<LaunchedMachine> {
    const { machine: source, manifest } = await engine.show(snapshot);
    const profile = (await this.#profileOf(source)) ?? profileOfConfig(manifest.machine.config);
    return this.#start(name, profile, engine, (machine) => machine.start(snapshot, options));
  }

  async #start(
    name: string,
    profile: QemuProfile,
    engine: Vitrine,
    start: (machine: QemuHostMachine) => Promise<unknown>,
  ): Promise<LaunchedMachine> {
    const machine = new QemuHostMachine(name, profile, engine);
    await start(machine);
    await this.#write({ ...(await this.#read()), [name]: profile });
    return machine;
  }

  async #profileOf(name: string): Promise<QemuProfile | undefined> {
    const profiles = await this.#read();
    return Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  }

  async #read(): Promise<Profiles> {
    try {
      // Safe: this class wrote it, whole; what is no object is no book.
      return JSON.parse(await readFile(this.#bookPath, 'utf8')) as Profiles;
    } catch {
      return {};
    }
  }

  async #write(profiles: Profiles): Promise<void> {
    const part = `${this.#bookPath}.${process.pid}.part`;
    await rm(part, { force: true });
    await writeFile(part, `${JSON.stringify(profiles, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(part, this.#bookPath);
  }
}

/** What a snapshot says of the machine it is of; devices beyond that are not in it, and a restore names the first missing. */
function profileOfConfig(config: Readonly<Record<string, ConfigValue>>): QemuProfile {
  const text = (name: string): string | undefined => {
    const value = config[name];
    return typeof value === 'string' ? value : undefined;
  };
  const [machine, cpu] = [text('machine'), text('cpu')];
  return {
    memoryBytes: Number(config.memoryBytes),
    cpus: Number(config.cpus),
    accelerator: config.accelerator === 'kvm' ? 'kvm' : 'tcg',
    ...(machine === undefined ? {} : { machine }),
    ...(cpu === undefined ? {} : { cpu }),
  };
}
