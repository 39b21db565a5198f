// A guest's hints on free pages across the port. What it tells comes along with marks that are taken after it was told, and
// with the answer to the question: a bitmap a region, and no message of its own, however often the guest tells.
//
//   asked (at rest, behind the marks) ─▶ guest runs, tells ─▶ rest: marks + told so far ─▶ … ─▶ answer: the rest of it
//
// Each question has a number, and what is told for an earlier one is dropped: a page that was free then may have been written
// before the later question, which only knows what was written since. So it does not matter how late anything comes: the
// tracker drops what any marks since its question had, and those of one rest cross in the order in which they were taken.

import type { FreePageRequest, FreeSpanListener } from '../guest/free-pages.ts';
import type { Guest } from '../guest/guest.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import { ToldPages } from '../tracking/told-pages.ts';

/** Pages told to be free since the last of these: a bitmap a region, null for none. */
export interface SentFreePages {
  readonly question: number;
  readonly words: readonly (Uint32Array<ArrayBuffer> | null)[];
}

/** The calls at the port. */
export interface ServedFreePages {
  /** Asks the guest, which rests; answers with what was not sent yet, when it has told all or is not listened to any longer. */
  askFreePages(question: number): Promise<SentFreePages | null>;
  endFreePages(question: number): Promise<void>;
}

/** In the guest's worker: asks it, and keeps what it tells until it is sent. */
export class FreePagesServer {
  readonly #guest: Guest;
  readonly #told: ToldPages;
  #question = 0;
  /** Ends the question under way. */
  #end: (() => void) | undefined;

  constructor(guest: Guest) {
    this.#guest = guest;
    this.#told = new ToldPages(guest.regions);
  }

  async ask(question: number): Promise<SentFreePages | null> {
    this.end();
    this.#told.begin();
    this.#question = question;
    let request: FreePageRequest | undefined;
    let isOver = false;
    let declareOver: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      declareOver = resolve;
    });
    const end = (): void => {
      isOver = true;
      if (this.#end === end) this.#end = undefined;
      request?.end();
      declareOver();
    };
    this.#end = end;
    try {
      request = this.#guest.freePageHint?.((span) => {
        if (!isOver && !this.#told.hear(span)) end();
      });
      // It had told too much before it gave the means to end it.
      if (isOver) request?.end();
      await Promise.race([request?.done, over]);
    } finally {
      isOver = true;
      if (this.#end === end) this.#end = undefined;
    }
    return this.#question === question ? this.take() : null;
  }

  /** What was told since the last take, to be sent; null when nothing was. */
  take(): SentFreePages | null {
    if (this.#told.sets.every(({ isEmpty }) => isEmpty)) return null;
    const words = this.#told.sets.map((set) => (set.isEmpty ? null : set.words.slice()));
    for (const set of this.#told.sets) set.clear();
    return { question: this.#question, words };
  }

  /** Ends the question under way, or only one of this number. */
  end(question = this.#question): void {
    if (question !== this.#question) return;
    this.#end?.();
    this.#told.begin();
  }
}

/** In the tracker's worker: the guest as it is asked there. */
export class PortFreePages {
  readonly #api: ServedFreePages;
  readonly #regions: readonly Region[];
  #questionCount = 0;
  /** The question under way; null when nothing is listened to. */
  #asking: { readonly question: number; readonly tell: FreeSpanListener } | null = null;

  constructor(api: ServedFreePages, regions: readonly Region[]) {
    this.#api = api;
    this.#regions = regions;
  }

  /** As `Guest.freePageHint`; `done` is rejected when the guest's worker is lost. Posted before the guest is resumed. */
  ask(tell: FreeSpanListener): FreePageRequest {
    const question = ++this.#questionCount;
    const asking = { question, tell };
    this.#asking = asking;
    const isUnderWay = () => this.#asking === asking;
    const done = this.#api.askFreePages(question).then((sent) => {
      this.hear(sent);
      if (isUnderWay()) this.#asking = null;
    });
    return {
      done,
      end: () => {
        if (!isUnderWay()) return;
        this.#asking = null;
        this.#api.endFreePages(question).catch(() => {});
      },
    };
  }

  /** What the guest's worker sent. */
  hear(sent: SentFreePages | null | undefined): void {
    const asking = this.#asking;
    if (!sent || sent.question !== asking?.question) return;
    for (const region of this.#regions) {
      const words = sent.words[region.id];
      if (!words) continue;
      for (const { first, count } of new PageSet(pageCountOf(region), words).runs()) {
        const { id, pageBytes } = region;
        asking.tell({ region: id, offsetBytes: first * pageBytes, lengthBytes: count * pageBytes });
      }
    }
  }
}
