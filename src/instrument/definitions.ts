// What is known of the locals that hold addresses while one function is read from top to bottom, and which ranges
// around them are marked already.
//
// A definition is one value of a local: a new one begins wherever the local is set. A range [low, high) around it, at
// most a page long, is marked when the pages of its first and last byte are. What was marked before a block is entered
// stays marked inside it and after it, what was marked inside ends with it, since a branch may have gone around it. At
// the head of a loop only locals that are not set any more keep theirs. Marks are taken only while no call is inside
// the program, so a call in between changes nothing.

/** One value of a local, or one page at a constant address (`local` is then -1). */
export interface Definition {
  readonly local: number;
  readonly page: number;
  /** The range of all stores around it in the function. */
  low: number;
  high: number;
  markedLow: number;
  markedHigh: number;
  /** Stored to, and not marked yet. */
  pendingLow: number;
  pendingHigh: number;
}

interface Undo {
  readonly definition: Definition;
  readonly low: number;
  readonly high: number;
}

export class Definitions {
  readonly #known: Definition[] = [];
  #next = 0;
  readonly #current: (Definition | undefined)[] = [];
  readonly #pages = new Map<number, Definition>();
  /** How often each local is set in the function, and how often it was so far. */
  readonly #sets: number[] = [];
  #setsSoFar: number[] = [];
  #isFirstPass = true;
  #trail: Undo[] = [];
  #frames: number[] = [];
  pending: Definition[] = [];

  /** Reads the function again, now with the ranges and counts known. */
  startSecondPass(): void {
    this.#isFirstPass = false;
    this.#next = 0;
    this.#current.length = 0;
    this.#setsSoFar = [];
    this.#trail = [];
    this.#frames = [];
  }

  ofLocal(local: number): Definition {
    let definition = this.#current[local];
    if (definition === undefined) {
      definition = this.#create(local);
      this.#current[local] = definition;
    }
    return definition;
  }

  ofPage(page: number): Definition {
    let definition = this.#pages.get(page);
    if (definition === undefined) {
      definition = empty(-1, page);
      this.#pages.set(page, definition);
    }
    return definition;
  }

  isCurrent(definition: Definition): boolean {
    return this.#current[definition.local] === definition;
  }

  /** The local gets another value. */
  set(local: number): void {
    if (this.#isFirstPass) this.#sets[local] = (this.#sets[local] ?? 0) + 1;
    this.#setsSoFar[local] = (this.#setsSoFar[local] ?? 0) + 1;
    this.#current[local] = undefined;
  }

  /** A store at these bytes from the definition, seen in the first pass. */
  widen(definition: Definition, low: number, high: number): void {
    definition.low = Math.min(definition.low, low);
    definition.high = Math.max(definition.high, high);
  }

  /** These bytes are marked from here on. */
  mark(definition: Definition, low: number, high: number): void {
    this.#trail.push({ definition, low: definition.markedLow, high: definition.markedHigh });
    definition.markedLow = low;
    definition.markedHigh = high;
  }

  enter(options: { readonly isLoop: boolean }): void {
    if (options.isLoop) {
      for (const { definition } of this.#trail) {
        const { local } = definition;
        if (local >= 0 && this.#sets[local] !== this.#setsSoFar[local]) forget(definition);
      }
    }
    this.#frames.push(this.#trail.length);
  }

  /** Another arm of the block begins. */
  restart(): void {
    this.#undoTo(this.#frames.at(-1) ?? 0);
  }

  leave(): void {
    this.#undoTo(this.#frames.pop() ?? 0);
  }

  #create(local: number): Definition {
    const present = this.#known[this.#next];
    if (present !== undefined) {
      this.#next++;
      return present;
    }
    const definition = empty(local, -1);
    this.#known.push(definition);
    this.#next++;
    return definition;
  }

  #undoTo(length: number): void {
    while (this.#trail.length > length) {
      const { definition, low, high } = this.#trail.pop()!;
      // What a loop made forgotten stays so: the older range is one that was marked before it.
      if (definition.markedLow >= definition.markedHigh) continue;
      definition.markedLow = low;
      definition.markedHigh = high;
    }
  }
}

function forget(definition: Definition): void {
  definition.markedLow = 0;
  definition.markedHigh = 0;
}

function empty(local: number, page: number): Definition {
  return {
    local,
    page,
    low: Number.POSITIVE_INFINITY,
    high: Number.NEGATIVE_INFINITY,
    markedLow: 0,
    markedHigh: 0,
    pendingLow: 0,
    pendingHigh: 0,
  };
}
