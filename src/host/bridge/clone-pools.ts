// Forks that share RAM: one image for each snapshot that is forked, kept while a machine stands on it.

import type { SnapshotId } from '../../engine/snapshot.ts';
import type { Vitrine } from '../../engine/vitrine.ts';
import { type Clone, type ClonePool, openClonePool } from '../qemu/clone-pool.ts';
import type { QemuProfile } from '../qemu/profile.ts';
import type { QemuMachine, QemuMachineOptions } from '../qemu/qemu-machine.ts';

interface OpenPool {
  readonly pool: Promise<ClonePool>;
  users: number;
}

/** A machine that stands on an image; `close` ends it, and the image with its last machine. */
export interface SharedMachine {
  readonly machine: QemuMachine;
  close(): Promise<void>;
}

export class ClonePools {
  readonly #open = new Map<string, OpenPool>();

  /**
   * A machine at rest, under the engine as `name`, that goes on from a snapshot.
   *
   * Throws `unsupported` where machines of this profile cannot share RAM, or their processes may not be looked into; and what
   * `openClonePool` throws. Nothing is left behind then.
   */
  async clone(
    name: string,
    profile: QemuProfile,
    engine: Vitrine,
    snapshot: SnapshotId,
    options: Pick<QemuMachineOptions, 'disks' | 'keptFor' | 'root'>,
  ): Promise<SharedMachine> {
    const { id } = await engine.show(snapshot);
    const key = JSON.stringify([id, profile, options]);
    let open = this.#open.get(key);
    if (open === undefined) {
      // None waits ahead of its time: the next fork may never come.
      open = { pool: openClonePool(name, profile, engine, id, { ...options, spare: 0 }), users: 0 };
      this.#open.set(key, open);
    }
    open.users++;
    let clone: Clone | undefined;
    try {
      clone = await (await open.pool).clone();
      const machine = await clone.adopt(name);
      // It is what the image was made of, and has not run.
      await machine.machine.standOn(id);
      const close = async (): Promise<void> => {
        await clone?.close();
        await this.#leave(key, open);
      };
      return { machine, close };
    } catch (error) {
      await clone?.close();
      await this.#leave(key, open);
      throw error;
    }
  }

  async #leave(key: string, open: OpenPool): Promise<void> {
    if (--open.users > 0) return;
    this.#open.delete(key);
    await (await open.pool.catch(() => undefined))?.close();
  }
}
