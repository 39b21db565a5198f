// The device records of a machine that hold v86's state tree: `state`, and one for each large buffer. Taken while the guest
// rests, so nothing is copied that is at hand already: a buffer that still holds what it held is given as the same array as
// before. Loaded without touching what the machine holds already, since whoever goes back after a moment finds most of it.
//
//   save   machine ──encode──▶ bytes; large buffers compared with those given last
//   load   record ──decode, check──▶ parts ── those that are not the machine's own already ──▶ v86
//
// A load is all or nothing: what v86 refuses is undone with the machine's own state from before.

import { equalBytes, type OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { type Comparer, openComparer } from '../../kernel/index.ts';
import { checkTree } from './check-state.ts';
import { applyTree, type DeviceTree, largeRecordName, readTree, SKIPPABLE_PARTS } from './device-state.ts';
import { type AttachedDisk, withoutDisks } from './disks.ts';
import type { GuestClock } from './guest-clock.ts';
import { decodeState, type EncodedState, StateFormatError, type StateLayout } from './state-codec.ts';
import { StateEncoder } from './state-encoder.ts';
import type { V86Cpu } from './v86-internals.ts';

export class MachineState {
  readonly #cpu: V86Cpu;
  readonly #disks: readonly AttachedDisk[];
  readonly #clock: GuestClock;
  readonly #encoder: StateEncoder;
  /** Large buffers as they were given last. */
  readonly #kept = new Map<string, OwnedBytes>();
  /** Trees that are this machine's: those it gave, and those that passed the check. Records are never written to. */
  readonly #known = new WeakMap<Uint8Array, StateLayout>();
  #isSame: Comparer | undefined;

  constructor(cpu: V86Cpu, disks: readonly AttachedDisk[], clock: GuestClock) {
    this.#cpu = cpu;
    this.#disks = disks;
    this.#clock = clock;
    this.#encoder = new StateEncoder({
      nameOf: largeRecordName,
      keep: (name, bytes) => this.#keep(name, bytes),
    });
  }

  /**
   * Makes ready what compares large buffers, to be awaited once before the machine is saved or loaded: until then it does
   * so byte by byte, ten times slower. Never rejects.
   */
  async prepare(): Promise<void> {
    // Where there is no memory for kernels it compares byte by byte: slower, and no reason to fail.
    this.#isSame ??= await openComparer().catch(() => equalBytes);
  }

  /** The state as it is. The machine is paused and its clock frozen. */
  save(): Pick<EncodedState, 'tree' | 'large'> {
    const encoded = this.#encode();
    this.#known.set(encoded.tree, encoded.layout);
    return encoded;
  }

  /**
   * Brings the machine to a state. It is paused and its clock frozen.
   *
   * Throws `guest-state-invalid` for what cannot be its state, and leaves it as it was.
   */
  load(state: Uint8Array, large: ReadonlyMap<string, Uint8Array>): void {
    const before = this.#encode();
    const { tree, unchanged } = this.#plan(state, large, before);
    const { tsc, acpiOffsetMs } = this.#clock.frozen;
    try {
      applyTree(this.#cpu, this.#disks, this.#clock, tree, unchanged);
    } catch (cause) {
      // Safe: it is the machine's own.
      const own = decodeState(before.tree, before.large).value as DeviceTree;
      applyTree(this.#cpu, this.#disks, this.#clock, own);
      this.#clock.load(tsc, acpiOffsetMs);
      throw new VitrineError('guest-state-invalid', { reason: 'v86 refused it' }, { cause });
    }
  }

  #encode(): EncodedState {
    return withoutDisks(this.#disks, () => this.#encoder.encode(readTree(this.#cpu, this.#clock)));
  }

  /** Bytes of a large buffer that are ours: those given before where they are the same. */
  #keep(name: string, bytes: Uint8Array): OwnedBytes {
    const kept = this.#kept.get(name);
    if (kept !== undefined && this.#compare(kept, bytes)) return kept;
    // Safe: a copy, wherever the buffer lies.
    const copy = bytes.slice() as OwnedBytes;
    this.#kept.set(name, copy);
    return copy;
  }

  #compare(a: Uint8Array, b: Uint8Array): boolean {
    return (this.#isSame ?? equalBytes)(a, b);
  }

  /** What is to be loaded, and which devices hold it already. */
  #plan(
    state: Uint8Array,
    large: ReadonlyMap<string, Uint8Array>,
    now: EncodedState,
  ): { readonly tree: DeviceTree; readonly unchanged: ReadonlySet<number> } {
    try {
      const known = this.#known.get(state);
      if (known !== undefined) {
        const unchanged = this.#unchangedParts(state, known, large, now);
        // Safe: a tree that is known was checked.
        return { tree: decodeState(state, large, unchanged).value as DeviceTree, unchanged };
      }
      const { value, layout } = decodeState(state, large);
      // Safe: it is the machine's own.
      const own = decodeState(now.tree, now.large).value as DeviceTree;
      const wrong = checkTree(this.#cpu, value, own);
      if (wrong !== undefined) throw new StateFormatError(`not of this machine at ${wrong}`);
      this.#known.set(state, layout);
      // Safe: checkTree compared it with a tree of that type.
      return { tree: value as DeviceTree, unchanged: this.#unchangedParts(state, layout, large, now) };
    } catch (cause) {
      if (!(cause instanceof StateFormatError)) throw cause;
      throw new VitrineError('guest-state-invalid', { reason: cause.message }, { cause });
    }
  }

  /** The parts whose bytes, and whose large buffers, are those of the machine now. */
  #unchangedParts(
    state: Uint8Array,
    layout: StateLayout,
    large: ReadonlyMap<string, Uint8Array>,
    now: EncodedState,
  ): Set<number> {
    const unchanged = new Set<number>();
    for (const part of SKIPPABLE_PARTS.keys()) {
      const [from, to] = [layout.offsets[part], layout.offsets[part + 1]];
      const [nowFrom, nowTo] = [now.layout.offsets[part], now.layout.offsets[part + 1]];
      if (from === undefined || to === undefined || nowFrom === undefined || nowTo === undefined) continue;
      if (!equalBytes(state.subarray(from, to), now.tree.subarray(nowFrom, nowTo))) continue;
      const names = layout.large.get(part) ?? [];
      // The same names stand in both parts, whose bytes are equal.
      if (names.every((name) => this.#isHeld(large.get(name), now.large.get(name)))) unchanged.add(part);
    }
    return unchanged;
  }

  #isHeld(wanted: Uint8Array | undefined, held: Uint8Array | undefined): boolean {
    if (wanted === undefined || held === undefined) return false;
    return wanted === held || this.#compare(wanted, held);
  }
}
