// A QEMU machine that somebody else started, as sessions see it. It has no serial line of ours, cannot be started again, and runs
// on when the bridge leaves it.

import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import type { MachineFacts, MachineState } from '../../bridge/host.ts';
import type { Machine } from '../../engine/machine.ts';
import type { PeekRange } from '../../engine/peek.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { type AttachedMachine, type AttachOptions, attachQemu } from '../qemu/attach.ts';
import type { LaunchedMachine } from './local-host.ts';
import { pokeGuest } from './poke-guest.ts';

export class AttachedHostMachine implements LaunchedMachine {
  readonly name: string;
  readonly #socket: string;
  #attached: AttachedMachine | null;
  #state: MachineState;
  #ended = '';

  /** Takes the machine whose monitor listens at `socket`. Throws as `attachQemu`; the machine is as before then. */
  static async open(
    name: string,
    socket: string,
    engine: Vitrine,
    options: AttachOptions = {},
  ): Promise<AttachedHostMachine> {
    const attached = await attachQemu(name, socket, engine, options);
    return new AttachedHostMachine(name, socket, attached, await attached.guest.isRunning());
  }

  private constructor(name: string, socket: string, attached: AttachedMachine, isRunning: boolean) {
    this.name = name;
    this.#socket = socket;
    this.#attached = attached;
    this.#state = isRunning ? 'running' : 'paused';
    void attached.lost.then((reason) => {
      if (this.#attached === null) return;
      this.#attached = null;
      this.#state = 'lost';
      this.#ended = reason.message;
      // What is left of it here; that it ended is known already.
      attached.detach().catch(() => {});
    });
  }

  get state(): MachineState {
    return this.#state;
  }

  get machine(): Machine | null {
    return this.#attached?.machine ?? null;
  }

  async facts(): Promise<MachineFacts> {
    const shared = { attached: true, socket: this.#socket };
    if (this.#attached === null) return { ...shared, ended: this.#ended };
    const { machine, accelerator, cpus, memoryBytes } = this.#attached.guest.machine.config;
    const known = Object.entries({ machine, accelerator, cpus, memoryBytes });
    return { ...shared, ...Object.fromEntries(known.map(([name, value]) => [name, value ?? null])) };
  }

  async pause(): Promise<void> {
    await this.#here().stop();
    this.#state = 'paused';
  }

  async resume(): Promise<void> {
    await this.#here().start();
    this.#state = 'running';
  }

  async poke(range: PeekRange, bytes: OwnedBytes): Promise<void> {
    await pokeGuest(this.#here().guest, range, bytes);
  }

  /** Leaves it: it runs on. */
  async stop(): Promise<void> {
    const attached = this.#attached;
    if (attached === null) return;
    this.#attached = null;
    this.#state = 'stopped';
    this.#ended = 'it was left, and runs on';
    await attached.detach();
  }

  close(): Promise<void> {
    return this.stop();
  }

  #here(): AttachedMachine {
    if (this.#attached === null) {
      throw new VitrineError('wrong-state', { machine: this.name, actual: this.#state, required: 'running' });
    }
    return this.#attached;
  }
}
