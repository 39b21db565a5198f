// Device state in named parts, each saved and loaded by functions of the emulator's author: one record a part, loaded
// all or none.

import { equalBytes, type OwnedBytes, ownBytes } from '../base/bytes.ts';
import { isVitrineError, VitrineError } from '../base/error.ts';
import { authored } from './authored.ts';
import type { DeviceRecord } from './guest.ts';

/** How one part of a machine's state is saved and loaded. */
export interface DeviceState {
  /** The author's version of these bytes, from 1 up; records of another one are refused. */
  readonly version: number;
  /** The same bytes for the same state: no host times, keys in a fixed order. */
  save(): Uint8Array;
  /**
   * Puts the state back. Whatever it throws refuses the record; the part itself, which may have taken half of it, and those
   * loaded before it are then loaded with what they held.
   */
  load(bytes: OwnedBytes): void;
}

export class DeviceStates {
  readonly #states: readonly (readonly [name: string, state: DeviceState])[];

  constructor(states: Readonly<Record<string, DeviceState>>) {
    this.#states = Object.entries(states);
  }

  /** Throws `guest-failed` when a part's function does. */
  save(): DeviceRecord[] {
    return this.#states.map(([name, state]) => ({
      name,
      version: state.version,
      bytes: authored(`devices.${name}.save`, () => ownBytes(state.save())),
    }));
  }

  /** Throws `guest-state-invalid`, `guest-failed`, and then the devices are as they were. */
  load(records: readonly DeviceRecord[]): void {
    const found = this.#match(records);
    // The way back. Also of one part alone: an author's function that throws has often set half of its fields.
    const before = this.save();
    for (const [index, [name, state]] of this.#states.entries()) {
      const bytes = found.get(name)!;
      // What is there already need not be loaded, and cannot be refused.
      if (equalBytes(before[index]!.bytes, bytes)) continue;
      try {
        state.load(bytes);
      } catch (cause) {
        for (let back = index; back >= 0; back--) putBack(this.#states[back]![1], before[back]!.bytes);
        if (isVitrineError(cause, 'guest-state-invalid')) throw cause;
        throw new VitrineError('guest-state-invalid', { record: name }, { cause });
      }
    }
  }

  /** The bytes by name; throws unless each part is there once, in its version, and nothing else is. */
  #match(records: readonly DeviceRecord[]): ReadonlyMap<string, OwnedBytes> {
    const versions = new Map(this.#states.map(([name, { version }]) => [name, version]));
    const found = new Map<string, OwnedBytes>();
    for (const { name, version, bytes } of records) {
      if (versions.get(name) !== version || found.has(name)) {
        throw new VitrineError('guest-state-invalid', {
          record: name,
          version,
          expected: versions.get(name) ?? null,
        });
      }
      found.set(name, bytes);
    }
    for (const name of versions.keys()) {
      if (!found.has(name)) throw new VitrineError('guest-state-invalid', { missing: name });
    }
    return found;
  }
}

/** A part that throws here, too, does not keep the others from what they held. */
function putBack(state: DeviceState, bytes: OwnedBytes): void {
  try {
    state.load(bytes);
  } catch {
    // What it refused first is the error that counts.
  }
}
