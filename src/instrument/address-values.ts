// What is known of the values of locals while one function is read from top to bottom: a constant, or a distance from a
// root, which is one value that nothing is known of. Stores at close distances from one root make a group, at most a granule
// long; who touches the last byte of the group has touched the pages of all its stores (`map-layout.ts`).
//
// A local keeps its value until it is set. Where paths meet, locals that were set on one of them start anew: after a
// block, in its other arms, and at the head of a loop that sets them further down. A group that was touched before a
// block is entered stays so inside it and after it; what was touched inside ends with it, since a branch may have gone
// around. A root stands for a single run-time value within one pass from its creation to its last use, since it is created after
// the head of every loop that its local is set in; so a touched group stays touched in a loop.
//
// Marks are taken, and barriers armed, only while no call is inside the program: a call in between changes nothing.

/** Bytes [low, high) from the root, at most a granule. */
export interface Group {
  low: number;
  high: number;
  isTouched: boolean;
}

/** A distance from a root, as a number of 32 bits with a sign. */
export interface Distance {
  readonly root: Root;
  readonly delta: number;
}

/** A value that nothing is known of, and the distance of nothing from itself. Most have no stores, and stay small. */
export class Root implements Distance {
  readonly delta = 0;
  /** The stores seen around it in the first pass. */
  stores: { readonly low: number; readonly high: number }[] | undefined = undefined;
  /** Made of them, by low. */
  groups: readonly Group[] | undefined = undefined;
  /** Locals that have held a value by it: the one it was made for, and others. */
  holder = -1;
  others: number[] | undefined = undefined;

  get root(): Root {
    return this;
  }
}

/** A constant as a number of 32 bits with a sign; undefined where nothing is known. */
export type Value = Distance | number | undefined;

/** A frame's list of locals may hold some twice up to this length. */
const SETS_KEPT_ALL = 8;

interface Frame {
  readonly touchedCount: number;
  /** Locals set in it; some more than once. */
  sets: number[] | undefined;
}

export class AddressValues {
  readonly #granuleBytes: number;
  #current: Value[] = [];
  #frames: Frame[] = [{ touchedCount: 0, sets: undefined }];
  #touched: Group[] = [];
  readonly #roots: Root[] = [];
  #next = 0;

  constructor(granuleBytes: number) {
    this.#granuleBytes = granuleBytes;
  }

  /** Reads the function again, now with the groups known: the same roots come in the same order. */
  startSecondPass(): void {
    this.#current = [];
    this.#frames = [{ touchedCount: 0, sets: undefined }];
    this.#next = 0;
    for (const root of this.#roots) {
      if (root.stores !== undefined) root.groups = groupsOf(root.stores, this.#granuleBytes);
      root.others = undefined;
    }
  }

  get(local: number): Distance | number {
    const present = this.#current[local];
    if (present !== undefined) return present;
    const root = this.#nextRoot();
    root.holder = local;
    this.#current[local] = root;
    return root;
  }

  set(local: number, value: Value): void {
    const frame = this.#frames[this.#frames.length - 1];
    if (frame !== undefined) {
      frame.sets ??= [];
      if (frame.sets.length < SETS_KEPT_ALL || !frame.sets.includes(local)) frame.sets.push(local);
    }
    this.#current[local] = value;
    if (typeof value !== 'object' || value.root.holder === local) return;
    const { root } = value;
    root.others ??= [];
    if (!root.others.includes(local)) root.others.push(local);
  }

  /** A local whose value is by that root now, and its distance; undefined where none is left. */
  holderOf(root: Root): { readonly local: number; readonly delta: number } | undefined {
    for (const local of [root.holder, ...(root.others ?? [])]) {
      const value = this.#current[local];
      if (typeof value === 'object' && value.root === root) return { local, delta: value.delta };
    }
    return undefined;
  }

  /** A store at these bytes from the root; in the first pass. */
  see(root: Root, low: number, high: number): void {
    root.stores ??= [];
    root.stores.push({ low, high });
  }

  /** The group that has these bytes; only in the second pass. */
  groupOf(root: Root, low: number, high: number): Group | undefined {
    return root.groups?.find((group) => low >= group.low && high <= group.high);
  }

  touch(group: Group): void {
    group.isTouched = true;
    this.#touched.push(group);
  }

  /** A block begins; `lost` are the locals that a loop sets. */
  enter(lost?: ReadonlySet<number>): void {
    for (const local of lost ?? []) this.#current[local] = undefined;
    this.#frames.push({ touchedCount: this.#touched.length, sets: undefined });
  }

  /** Another arm of the block begins. */
  restart(): void {
    const frame = this.#frames.at(-1);
    if (frame !== undefined) this.#forget(frame);
  }

  leave(): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    this.#forget(frame);
    const outer = this.#frames.at(-1);
    if (outer === undefined || frame.sets === undefined) return;
    if (outer.sets === undefined) outer.sets = frame.sets;
    else for (const local of frame.sets) if (!outer.sets.includes(local)) outer.sets.push(local);
  }

  #forget({ touchedCount, sets }: Frame): void {
    if (sets !== undefined) for (const local of sets) this.#current[local] = undefined;
    while (this.#touched.length > touchedCount) this.#touched.pop()!.isTouched = false;
  }

  #nextRoot(): Root {
    const present = this.#roots[this.#next++];
    if (present !== undefined) return present;
    const root = new Root();
    this.#roots.push(root);
    return root;
  }
}

/** The value so far on. */
export function plus(value: Value, more: number): Value {
  if (value === undefined) return undefined;
  if (typeof value === 'number') return (value + more) | 0;
  return { root: value.root, delta: (value.delta + more) | 0 };
}

/** Groups from the lowest store on, each as long as a granule allows. */
function groupsOf(stores: NonNullable<Root['stores']>, granuleBytes: number): Group[] {
  const groups: Group[] = [];
  for (const { low, high } of [...stores].sort((a, b) => a.low - b.low)) {
    const last = groups.at(-1);
    const widened = last && Math.max(last.high, high);
    if (last !== undefined && widened !== undefined && widened - last.low <= granuleBytes)
      last.high = widened;
    else groups.push({ low, high, isTouched: false });
  }
  return groups;
}
