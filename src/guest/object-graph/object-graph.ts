// The state of an emulator that is plain JavaScript, taken by walking its objects, and put back into them: a device state
// that nobody had to write. README.md of this folder says what it sees and what it does not.

import { copyBytes, equalBytes, type OwnedBytes } from '../../base/bytes.ts';
import type { DeviceState } from '../device-states.ts';
import { applyPlan } from './graph-apply.ts';
import { graphDifference } from './graph-difference.ts';
import { type GraphPlan, readPlan } from './graph-plan.ts';
import { GraphWriter } from './graph-writer.ts';
import { Inventory, type InventoryOptions } from './inventory.ts';

export class ObjectGraph implements DeviceState {
  readonly version = 1;
  readonly #inventory: Inventory;
  readonly #writer: GraphWriter;
  /** The record that was loaded last: a loop that goes back to one point reads it once. */
  #last: { readonly bytes: OwnedBytes; readonly plan: GraphPlan } | undefined;

  /** Takes stock of `root`, which has not run yet. Throws `unsupported` with the path of what cannot be saved. */
  constructor(root: object, options: Partial<InventoryOptions> = {}) {
    this.#inventory = new Inventory(root, { regionBuffers: [], wiring: [], classes: [], ...options });
    this.#writer = new GraphWriter(this.#inventory);
  }

  /** Names what was there when stock was taken: records go between graphs of one digest. */
  get digest(): string {
    return this.#inventory.digest;
  }

  /** How much there is, for people. */
  get size(): { readonly objects: number; readonly functions: number } {
    const { nodes, functions } = this.#inventory;
    return { objects: nodes.length, functions: functions.length };
  }

  /** Throws `unsupported` with the path of a value that cannot be saved. */
  save(): OwnedBytes {
    return this.#writer.write();
  }

  /** Throws `guest-state-invalid`, and then nothing has changed. */
  load(bytes: OwnedBytes): void {
    if (this.#last === undefined || !equalBytes(this.#last.bytes, bytes)) {
      const copy = copyBytes(bytes);
      this.#last = { bytes: copy, plan: readPlan(copy, this.#inventory) };
    }
    applyPlan(this.#last.plan, this.#inventory);
  }

  /** The first place in which two records differ, or undefined. Throws `guest-state-invalid`. */
  difference(a: OwnedBytes, b: OwnedBytes): string | undefined {
    return graphDifference(readPlan(a, this.#inventory), readPlan(b, this.#inventory), this.#inventory);
  }
}
