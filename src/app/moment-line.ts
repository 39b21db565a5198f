// A past to drag along: its picture, a slider over it, and what stands at its ends. The line is time. Arrow keys go from moment to moment,
// since those lie closer together the younger they are. One way to a moment is under way at a time; of those asked for meanwhile the
// last one counts. Where a machine's moments come from its pane says, which shows the line anew when they change.

import { element, field } from './dom.ts';
import { followLook, type LookFollower } from './look.ts';
import { formatBack, formatCount } from './quantity.ts';
import { drawTimeline, type Moment } from './rewind-timeline.ts';

/** Moments passed by PageUp and PageDown. */
const LEAP = 10;

/** What stands beside the line. */
export interface LineWords {
  readonly oldest: string;
  /** Where the machine is: `12 s before the present`. */
  readonly here: string;
  /** Of all of the past, in front of the line or not. */
  readonly bookmarkCount: number;
}

export class MomentLine implements LookFollower {
  readonly element: HTMLElement;
  readonly #go: (id: string) => Promise<boolean>;
  readonly #canvas = element('canvas', { className: 'timeline', attributes: { role: 'img' } });
  readonly #slider = element('input', {
    attributes: { type: 'range', min: 0, step: 'any' },
    on: { input: () => this.#onDrag(), keydown: (event) => this.#onKey(event) },
  });
  readonly #oldest = element('span', { className: 'oldest' });
  readonly #here = element('output', { className: 'here' });
  #line: readonly Moment[] = [];
  #wanted: string | null = null;
  #isGoing = false;
  #arrival = Promise.resolve();

  /** `go` takes the machine to a moment, shows what came of it, and says whether it is there. It never throws. */
  constructor(go: (id: string) => Promise<boolean>) {
    this.#go = go;
    this.element = element(
      'div',
      { className: 'moment-line' },
      this.#canvas,
      field('Moment', this.#slider, 'field moment'),
      element('div', { className: 'ends' }, this.#oldest, this.#here),
    );
    followLook(this);
  }

  showLook(): void {
    drawTimeline(this.#canvas, this.#line);
  }

  /** Whether the machine is on its way to a moment. */
  get isGoing(): boolean {
    return this.#isGoing;
  }

  /** Resolves when the machine is on no way: what is done with a moment is done with the one that was wanted last. */
  get arrival(): Promise<void> {
    return this.#arrival;
  }

  set isDisabled(isDisabled: boolean) {
    this.#slider.disabled = isDisabled;
  }

  focus(): void {
    this.#slider.focus();
  }

  /** Forgets what was asked for: another machine is shown. */
  forget(): void {
    this.#wanted = null;
  }

  /**
   * Takes the machine to a moment; while it is on its way to another one, the last one asked for waits. Resolves when the machine is where
   * it was wanted last, or did not get there.
   */
  seek(id: string): Promise<void> {
    this.#wanted = id;
    if (!this.#isGoing) this.#arrival = this.#goWhereWanted();
    return this.#arrival;
  }

  async #goWhereWanted(): Promise<void> {
    this.#isGoing = true;
    try {
      while (this.#wanted !== null) {
        const target: string = this.#wanted;
        const isThere = await this.#go(target);
        if (this.#wanted === target || !isThere) this.#wanted = null;
      }
    } finally {
      this.#isGoing = false;
    }
  }

  /** Shows moments, oldest first. */
  show(line: readonly Moment[], { oldest, here, bookmarkCount }: LineWords): void {
    this.#line = line;
    const { first, last } = this.#span();
    const head = line.find(({ isHead }) => isHead) ?? line.at(-1);
    this.#slider.max = String(last - first);
    // Not from under the pointer.
    const isDragged = this.#wanted !== null && this.#wanted !== head?.id;
    if (!isDragged) this.#slider.value = String((head?.atMs ?? last) - first);
    this.#slider.setAttribute('aria-valuetext', here);
    this.#here.textContent = here;
    this.#oldest.textContent = oldest;
    drawTimeline(this.#canvas, line);
    this.#canvas.setAttribute(
      'aria-label',
      `${formatCount(line.length, 'point')} over ${formatBack(last - first)}, ${formatCount(bookmarkCount, 'bookmark')}`,
    );
  }

  #span(): { readonly first: number; readonly last: number } {
    return { first: this.#line[0]?.atMs ?? 0, last: this.#line.at(-1)?.atMs ?? 0 };
  }

  #onDrag(): void {
    const atMs = this.#span().first + Number(this.#slider.value);
    const nearest = this.#line.reduce<Moment | null>(
      (best, moment) =>
        best === null || Math.abs(moment.atMs - atMs) < Math.abs(best.atMs - atMs) ? moment : best,
      null,
    );
    if (nearest !== null) void this.seek(nearest.id);
  }

  #onKey(event: KeyboardEvent): void {
    const line = this.#line;
    const now = this.#wanted ?? line.find(({ isHead }) => isHead)?.id ?? line.at(-1)?.id;
    const at = line.findIndex(({ id }) => id === now);
    const targets: Readonly<Record<string, number>> = {
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      PageDown: at - LEAP,
      PageUp: at + LEAP,
      Home: 0,
      End: line.length - 1,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const moment = line[Math.max(0, Math.min(line.length - 1, target))];
    if (moment !== undefined && moment.id !== now) void this.seek(moment.id);
  }
}
