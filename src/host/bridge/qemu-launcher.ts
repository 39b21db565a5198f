// Starts QEMU machines for a bridge, and remembers what each was made of in a file beside the store, so that after a
// restart of the bridge a machine can be started again, or brought to one of its snapshots, by its name alone.
//
// Machines outlive a bridge that was killed, or that was told to keep them: the next one on the same store finds them by their run
// directories and takes them over under their names. One that it cannot take over is left alone, and it says why.

import { readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { isVitrineError, VitrineError } from '../../base/error.ts';
import type { WorkOptions } from '../../base/work.ts';
import type { AttachRequest, DisksReport, RunRequest } from '../../bridge/host.ts';
import type { SnapshotLayer } from '../../bridge/recorded-layers.ts';
import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import type { ConfigValue } from '../../guest/guest.ts';
import { makeFolder } from '../make-folder.ts';
import type { ServedBellRing } from '../qemu/bell-service.ts';
import { chooseAccelerator } from '../qemu/choose-accelerator.ts';
import { adoptKeptMachine, findKeptMachines, type KeptMachine } from '../qemu/kept-machine.ts';
import { layersOf } from '../qemu/layers-of.ts';
import { continueLeftMachines, type LeftMachine } from '../qemu/left-machines.ts';
import type { QemuProfile } from '../qemu/profile.ts';
import type { Deadline } from '../qemu/qmp.ts';
import { collectRunDirectories, rootsThere } from '../qemu/run-directory.ts';
import { SpareProcesses } from '../qemu/spare-processes.ts';
import { tidyDisks } from '../qemu/tidy-disks.ts';
import { TouchOrders } from '../qemu/touch-order.ts';
import { AttachedHostMachine } from './attached-host-machine.ts';
import { ClonePools } from './clone-pools.ts';
import type { LaunchedMachine, Launcher } from './local-host.ts';
import { type MachineRecipe, recipeOf } from './qemu-arguments.ts';
import { QemuHostMachine } from './qemu-host-machine.ts';

type Book = Readonly<Record<string, MachineRecipe>>;

/** Longer than it takes to think about what was restored. */
const SPARE_IDLE_MS = 10 * 60_000;

/** Our balloon in the description of a snapshot, by the place where it stands. */
const BALLOON = /^device\..*:1d\.0\/virtio-balloon@/;
/** And our doorbell, which nobody serves there. */
const BELL = /^device\..*:1e\.0\/virtio-console@/;

export interface QemuLauncherOptions {
  /** The file of recipes; it need not be there. */
  readonly book: string;
  /** The store's folder: machines are kept for whoever serves it. */
  readonly store: string;
  /** Where layers of disks are kept; it is made when it is first needed. */
  readonly diskFolder: string;
  /** Where machines have their run directories; QEMU's own default when left out. */
  readonly runRoot?: string | undefined;
  /** Where orders of first touches are kept for the next lazy restore; nowhere when left out. */
  readonly touchFolder?: string;
  /** Processes that may wait for the next lazy restore; none when left out. */
  readonly spare?: number;
  /** What machines may be made of, by name. */
  readonly profiles?: Readonly<Record<string, MachineRecipe>>;
}

export class QemuLauncher implements Launcher {
  readonly #options: QemuLauncherOptions;
  readonly #pools = new ClonePools();
  readonly profiles: readonly string[];
  readonly spares: SpareProcesses;
  left: readonly LeftMachine[] = [];
  onRing: Launcher['onRing'];

  constructor(options: QemuLauncherOptions) {
    this.#options = options;
    // Nobody waits for one to end when the bridge does.
    const deadline: Deadline = (ms, expired) => {
      const timer = setTimeout(expired, ms).unref();
      return () => clearTimeout(timer);
    };
    this.spares = new SpareProcesses({ most: options.spare ?? 0, idle: { ms: SPARE_IDLE_MS, deadline } });
    this.profiles = Object.keys(options.profiles ?? {});
  }

  async known(engine: Vitrine): Promise<LaunchedMachine[]> {
    const { runRoot } = this.#options;
    this.left = await continueLeftMachines(runRoot);
    const gone = new Set<string>();
    for (const root of await rootsThere(runRoot)) {
      await collectRunDirectories(root, (name) => gone.add(name));
    }
    const machines = new Map<string, QemuHostMachine>();
    const home = await this.#home();
    for (const [name, recipe] of Object.entries(await this.#read())) {
      const ended = gone.has(name) ? 'it ended while no bridge was there' : undefined;
      // A restore may bring it back, and then it is kept as any other.
      machines.set(name, this.#machine(name, recipe, engine, { home, ended }));
    }
    for (const found of await findKeptMachines(home, runRoot)) {
      machines.set(found.name, await this.#adopt(found, engine));
    }
    return [...machines.values()];
  }

  async run(request: RunRequest, engine: Vitrine): Promise<LaunchedMachine> {
    const { name, profile, memoryBytes, freePages, doorbell, arguments: args } = request;
    // A machine that is named alone is the one that it was.
    const isNamedAlone = [memoryBytes, freePages, doorbell, args].every((one) => one === undefined);
    const offered = profile === undefined ? undefined : this.#offered(profile, isNamedAlone);
    const before = offered === undefined && isNamedAlone ? await this.#recipeOf(name) : undefined;
    const recipe =
      before ??
      (await this.#accelerated(offered ?? recipeOf(args ?? [], { memoryBytes, freePages, doorbell })));
    return this.#start(name, recipe, engine, (machine) => machine.start());
  }

  async fork(
    snapshot: SnapshotId,
    name: string,
    engine: Vitrine,
    options: WorkOptions,
  ): Promise<LaunchedMachine> {
    const { machine: source, manifest } = await engine.show(snapshot);
    const known = await this.#recipeOf(source);
    const recipe = known ?? { profile: profileOf(manifest.machine.config), disks: [] };
    return this.#start(name, recipe, engine, (machine) =>
      machine.startShared(snapshot, this.#pools, options),
    );
  }

  /** The recipe with an accelerator, which it keeps: snapshots go into machines that have the same. */
  async #accelerated(recipe: MachineRecipe): Promise<MachineRecipe> {
    const { accelerator, because } = await chooseAccelerator(recipe.profile, {
      root: this.#options.runRoot,
    });
    return { ...recipe, profile: { ...recipe.profile, accelerator }, acceleratorBecause: because };
  }

  #offered(profile: string, isAlone: boolean): MachineRecipe {
    const { profiles = {} } = this.#options;
    const recipe = Object.hasOwn(profiles, profile) ? profiles[profile] : undefined;
    if (recipe === undefined) throw new VitrineError('not-found', { profile, known: this.profiles });
    if (!isAlone) throw new VitrineError('argument-invalid', { profile, wants: 'nothing beside its name' });
    return recipe;
  }

  /** Its owner has it; the book does not. */
  async attach({ name, socket }: AttachRequest, engine: Vitrine): Promise<LaunchedMachine> {
    // Where the next bridge looks for what this one left.
    const { runRoot } = this.#options;
    return AttachedHostMachine.open(name, socket, engine, runRoot === undefined ? {} : { root: runRoot });
  }

  /** None waits any more. May be called again. */
  close(): Promise<void> {
    return this.spares.close();
  }

  async collectDisks(engine: Vitrine, machines: readonly LaunchedMachine[]): Promise<DisksReport> {
    const { diskFolder, touchFolder } = this.#options;
    if (touchFolder !== undefined) await new TouchOrders(touchFolder).tidy(await engine.ids());
    return tidyDisks(engine, diskFolder, async () => {
      for (const machine of machines) if (machine instanceof QemuHostMachine) await machine.shortenDisks();
    });
  }

  layersOf(engine: Vitrine, snapshot: SnapshotId): Promise<SnapshotLayer[]> {
    return layersOf(engine, this.#options.diskFolder, snapshot);
  }

  async #start(
    name: string,
    recipe: MachineRecipe,
    engine: Vitrine,
    start: (machine: QemuHostMachine) => Promise<unknown>,
  ): Promise<LaunchedMachine> {
    // One that could not be taken over has its disks and its name still.
    const kept = await findKeptMachines(await this.#home(), this.#options.runRoot);
    const stray = kept.find((one) => one.name === name);
    if (stray !== undefined) {
      const wants = `"vitrine stop ${name}" first`;
      throw new VitrineError('busy', { machine: name, pid: stray.qemu.pid, wants });
    }
    if (recipe.disks.length > 0) await makeFolder(this.#options.diskFolder);
    const machine = this.#machine(name, recipe, engine, { home: await this.#home() });
    await start(machine);
    await this.#write({ ...(await this.#read()), [name]: recipe });
    return machine;
  }

  /** A machine as its bridge before left it. */
  async #adopt(found: KeptMachine, engine: Vitrine): Promise<QemuHostMachine> {
    const { name, kept } = found;
    // What its guest may ask for is its operator's to say, and stands in the book alone.
    const { doorbell, acceleratorBecause } = (await this.#recipeOf(name)) ?? {};
    const recipe = {
      profile: kept.profile,
      disks: kept.disks?.files ?? [],
      ...(doorbell === undefined ? {} : { doorbell }),
      ...(acceleratorBecause === undefined ? {} : { acceleratorBecause }),
    };
    const machine = this.#machine(name, recipe, engine, { home: kept.home });
    const { runRoot } = this.#options;
    const options = runRoot === undefined ? {} : { root: runRoot };
    try {
      await machine.takeOver(await adoptKeptMachine(found, engine, options), kept);
    } catch (error) {
      if (!isVitrineError(error)) throw error;
      machine.giveUpOn(found, error);
    }
    return machine;
  }

  #machine(
    name: string,
    recipe: MachineRecipe,
    engine: Vitrine,
    more: { readonly home?: string; readonly ended?: string | undefined } = {},
  ): QemuHostMachine {
    const { diskFolder, runRoot, touchFolder } = this.#options;
    const onRing = (ring: ServedBellRing): void => this.onRing?.(name, ring);
    const lazily = { spares: this.spares, ...(touchFolder === undefined ? {} : { touchFolder }) };
    return new QemuHostMachine({ name, recipe, engine, diskFolder, runRoot, onRing, lazily, ...more });
  }

  /** The store's folder is there by the time a machine is. */
  #home(): Promise<string> {
    return realpath(this.#options.store);
  }

  async #recipeOf(name: string): Promise<MachineRecipe | undefined> {
    const book = await this.#read();
    return Object.hasOwn(book, name) ? book[name] : undefined;
  }

  /** Empty where there is none; one that cannot be read is as none, and is written anew with the next machine. */
  async #read(): Promise<Book> {
    try {
      const book = JSON.parse(await readFile(this.#options.book, 'utf8')) as Record<
        string,
        Partial<MachineRecipe>
      >;
      const whole = Object.entries(book).filter(
        ([, recipe]) => recipe.profile !== undefined && Array.isArray(recipe.disks),
      );
      // Safe: this class wrote it; entries of another shape are passed over.
      return Object.fromEntries(whole) as Book;
    } catch {
      return {};
    }
  }

  async #write(book: Book): Promise<void> {
    const part = `${this.#options.book}.${process.pid}.part`;
    await rm(part, { force: true });
    await writeFile(part, `${JSON.stringify(book, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(part, this.#options.book);
  }
}

/** What a snapshot says of the machine it is of; devices beyond that are not in it, and a restore names the first missing. */
function profileOf(config: Readonly<Record<string, ConfigValue>>): QemuProfile {
  const text = (name: string): string | undefined => {
    const value = config[name];
    return typeof value === 'string' ? value : undefined;
  };
  const has = (device: RegExp): boolean => Object.keys(config).some((name) => device.test(name));
  const [machine, cpu] = [text('machine'), text('cpu')];
  return {
    memoryBytes: Number(config.memoryBytes),
    cpus: Number(config.cpus),
    accelerator: config.accelerator === 'kvm' ? 'kvm' : 'tcg',
    ...(has(BALLOON) ? { freePages: true } : {}),
    ...(has(BELL) ? { bell: true } : {}),
    ...(machine === undefined ? {} : { machine }),
    ...(cpu === undefined ? {} : { cpu }),
  };
}
