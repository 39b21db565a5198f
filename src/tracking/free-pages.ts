// Pages of a guest whose contents matter to nobody, as far as the guest's own word can be believed.
//
//   asked ──▶ told ──▶ the guest's marks are taken ──▶ known, until written
//               └── written since it was asked: never known ──┘
//
// A page is known to be free when the guest said so and did not write to it between the question and the instant of a
// capture: whatever it was given out for since, nobody put anything there. So an answer that comes too late for one save is
// good for the next. It needs marks that are believed: without them nobody knows what was written.
//
// When the guest is brought to another instant, where those pages may have been in use, all of it is forgotten.

import type { FreePageRequest } from '../guest/free-pages.ts';
import type { Guest } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf } from '../memory/region.ts';
import { ToldPages } from './told-pages.ts';

export class FreePages {
  readonly #guest: Guest;
  readonly #known: readonly PageSet[];
  /** Told since the marks were taken last. */
  readonly #told: ToldPages;
  /** Written since the question. */
  readonly #written: readonly PageSet[];
  /** The question under way. */
  #asking: { request?: FreePageRequest } | null = null;
  #asksAtTake = false;

  constructor(guest: Guest) {
    this.#guest = guest;
    const empty = () => guest.regions.map((region) => new PageSet(pageCountOf(region)));
    this.#known = empty();
    this.#told = new ToldPages(guest.regions);
    this.#written = empty();
  }

  /** Whether there is anybody to ask. */
  get canAsk(): boolean {
    return this.#guest.freePageHint !== undefined && this.#guest.traits.tracking !== 'none';
  }

  /** Whether an answer is still to come. */
  get isAsking(): boolean {
    return this.#asking !== null;
  }

  /**
   * Asks. The guest is paused and its marks were taken just now. Resolves when it has answered, or at once where it cannot
   * be asked; perhaps never. A question under way is ended by the next one.
   */
  ask(): Promise<void> {
    this.#end();
    this.#asksAtTake = false;
    this.#told.begin();
    for (const set of this.#written) set.clear();
    if (!this.canAsk) return Promise.resolve();
    const asking: { request?: FreePageRequest } = {};
    this.#asking = asking;
    const answered = () => {
      if (this.#asking === asking) this.#asking = null;
    };
    try {
      asking.request = this.#guest.freePageHint!((span) => {
        if (this.#asking === asking && !this.#told.hear(span)) this.#end();
      });
    } catch {
      answered();
      return Promise.resolve();
    }
    return asking.request.done.then(answered, answered);
  }

  /** As `ask`, when the guest's marks are taken next. */
  askAtNextTake(): void {
    this.#asksAtTake = true;
  }

  /** The guest's marks were taken: these pages were written, all of a region where it is null. What was told counts now. */
  written(pages: readonly (PageSet | null)[]): void {
    for (const { id } of this.#guest.regions) {
      const [known, told, since] = [this.#known[id]!, this.#told.sets[id]!, this.#written[id]!];
      const marked = pages[id] ?? null;
      if (marked === null) {
        known.clear();
        told.clear();
        // Of this region nothing can be known before the next question.
        since.addAll(PageSet.all(since.pageCount));
        continue;
      }
      if (this.#asking !== null || !told.isEmpty) since.addAll(marked);
      if (!told.isEmpty) {
        told.deleteAll(since);
        known.addAll(told);
        told.clear();
      }
      known.deleteAll(marked);
    }
    if (this.#asksAtTake) void this.ask();
  }

  /** The guest was brought to another instant. */
  forget(): void {
    this.#end();
    for (const sets of [this.#known, this.#told.sets]) for (const set of sets) set.clear();
  }

  /** Pages known to be free at the instant of the last take; not to be changed. */
  of(region: number): PageSet {
    return this.#known[region]!;
  }

  close(): void {
    this.#end();
  }

  #end(): void {
    const asking = this.#asking;
    this.#asking = null;
    asking?.request?.end();
  }
}
