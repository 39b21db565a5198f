// Whether a machine is of one state, or half of one and half of another because its owner was killed while it replaced one with the
// other. One that was found torn is mended by a restore that succeeds, and by nothing less: what it holds itself, put back, is torn.

import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import type { RunIntent } from './run-intent.ts';

export class Wholeness {
  readonly #intent: RunIntent | undefined;
  /** Records that it gave while it was torn. */
  readonly #torn = new WeakSet<DeviceRecord>();
  #isTorn: boolean;

  /** `intent` is where it is kept, for a machine that may outlive its owner. */
  constructor(intent: RunIntent | undefined) {
    this.#intent = intent;
    this.#isTorn = intent?.isBeingReplaced ?? false;
  }

  get isTorn(): boolean {
    return this.#isTorn;
  }

  /** Throws `wrong-state` while it is torn. */
  require(): void {
    if (!this.#isTorn) return;
    throw new VitrineError('wrong-state', { actual: 'half-way into a restore', required: 'restored' });
  }

  /** Before anything of it is replaced. */
  beginReplacing(): void {
    this.#intent?.setBeingReplaced(true);
  }

  /** It gave its device records. */
  gave(records: readonly DeviceRecord[]): void {
    if (this.#isTorn) for (const record of records) this.#torn.add(record);
  }

  /** Its memory was replaced before, and now its devices were. */
  took(records: readonly DeviceRecord[]): void {
    if (!records.some((record) => this.#torn.has(record))) this.#isTorn = false;
    this.endReplacing();
  }

  /** Nothing is replaced any more. */
  endReplacing(): void {
    if (!this.#isTorn) this.#intent?.setBeingReplaced(false);
  }
}
