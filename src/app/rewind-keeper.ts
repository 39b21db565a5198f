// Keeps a machine's recent past across reloads: writes what is new of it now and then, and when the page is hidden, since a
// page that goes is given no time. Each time a snapshot is made that the past is told from, in place of the one before.

import type { MachineClient } from '../rpc/engine-client.ts';
import type { Workspace } from './workspace.ts';

/** What a crash may cost. */
const FLUSH_MS = 20_000;
const KEPT_LABEL = 'the past is kept up to here';

export class RewindKeeper {
  readonly #workspace: Workspace;
  readonly #onFailure: (error: unknown) => void;
  #machine: MachineClient | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #flushing: Promise<void> | null = null;

  /** `onFailure` hears why nothing is kept any more. */
  constructor(workspace: Workspace, onFailure: (error: unknown) => void) {
    this.#workspace = workspace;
    this.#onFailure = onFailure;
    const flush = (): void => {
      if (document.hidden) void this.flush();
    };
    document.addEventListener('visibilitychange', flush);
    window.addEventListener('pagehide', () => void this.flush());
  }

  /** Keeps the past of this machine, or with null of none. Writes it at once. */
  async keep(machine: MachineClient | null): Promise<void> {
    clearInterval(this.#timer);
    this.#machine = machine;
    if (machine === null) return;
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS);
    await this.flush();
  }

  /** Whether the snapshot is there without which no past is. To ask for the past itself loads code that most pages do without. */
  mayHaveKept(machine: string): boolean {
    return this.#workspace.snapshots.value.some((one) => one.machine === machine && one.label === KEPT_LABEL);
  }

  /** Writes what is new; when it is at it already, resolves with that. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    const machine = this.#machine;
    const open = machine === null ? undefined : this.#workspace.find(machine.name);
    // A save under way is followed by the next flush.
    if (machine === null || open === undefined || open.job.value !== null) return;
    try {
      const { anchorBefore } = await machine.rewind.flush(async () => {
        const { snapshot } = await machine.save({ label: KEPT_LABEL, effort: 'fast', freePages: 'keep' });
        open.settleAt(snapshot.id);
        return snapshot.id;
      });
      const isDone = this.#workspace.snapshots.value.find(({ id }) => id === anchorBefore)?.label;
      if (anchorBefore !== null && isDone === KEPT_LABEL) {
        await this.#workspace.requireEngine().delete([anchorBefore]);
      }
      await this.#workspace.refresh();
    } catch (error) {
      if (this.#machine !== machine) return;
      clearInterval(this.#timer);
      this.#machine = null;
      this.#onFailure(error);
    }
  }
}
