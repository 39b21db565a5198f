// The recent past of the machine on show, as a line to drag along: its own screen shows each moment, held, until it goes on
// from there or comes back to the present.
//
// The line is time. Arrow keys go from point to point, since points lie closer together the younger they are. One seek is
// under way at a time; of those asked for meanwhile the last one counts.

import type { RewindPoint, RewindStats } from '../rewind/rewind-report.ts';
import type { RewindClient } from '../rpc/rewind-client.ts';
import { button, choice, element, field, form, setOptions } from './dom.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatBytes, formatCount, formatMs, formatSpan } from './quantity.ts';
import { RewindKeeper } from './rewind-keeper.ts';
import { drawTimeline } from './rewind-timeline.ts';
import type { Workspace } from './workspace.ts';

const EPOCH_MS = 100;
/** How often figures and points are asked for while it records. */
const REFRESH_MS = 1000;
/** Points passed by PageUp and PageDown. */
const LEAP = 10;

export class RewindPane {
  readonly element: HTMLElement;
  readonly #workspace: Workspace;
  readonly #notices: Notices;
  readonly #about = element(
    'p',
    { className: 'hint' },
    'Keeps the recent past of this machine, to go back to any moment and on from there.',
  );
  readonly #record = button('Record', () => void this.#start(), { className: 'primary' });
  readonly #reopen = button('Open the past that was kept', () => void this.#openKept());
  readonly #keep = element('input', {
    attributes: { type: 'checkbox' },
    on: { change: () => void this.#setKept(this.#keep.checked) },
  });
  readonly #keeper: RewindKeeper;
  readonly #canvas = element('canvas', { className: 'timeline', attributes: { role: 'img' } });
  readonly #slider = element('input', {
    attributes: { type: 'range', min: 0, step: 'any' },
    on: { input: () => this.#onDrag(), keydown: (event) => this.#onKey(event) },
  });
  readonly #oldest = element('span', { className: 'oldest' });
  readonly #here = element('output', { className: 'here' });
  readonly #goOn = button('Go on from here', () => void this.#resume(), { className: 'primary' });
  readonly #present = button('Back to the present', () => void this.#backToPresent());
  readonly #label = element('input', {
    attributes: { type: 'text', maxlength: 200, placeholder: 'what happened?' },
  });
  readonly #bookmarks = choice([], (id) => this.#choose(id));
  readonly #forget = button('Forget it', () => void this.#forgetBookmark(), { className: 'quiet' });
  readonly #futures = choice([], (id) => this.#choose(id));
  readonly #futuresField = field('Other futures', this.#futures);
  readonly #bookmarksField = field('Bookmarks', this.#bookmarks);
  readonly #full = element('p', { className: 'full', attributes: { role: 'alert' } });
  readonly #figures = element('p', { className: 'hint figures-line' });
  readonly #controls: HTMLElement;

  #machine: OpenMachine | null = null;
  #rewind: RewindClient | null = null;
  #points: readonly RewindPoint[] = [];
  #stats: RewindStats | null = null;
  /** Where the present was left. */
  #presentId: number | null = null;
  #wanted: number | null = null;
  #isSeeking = false;

  constructor(workspace: Workspace, notices: Notices) {
    this.#workspace = workspace;
    this.#notices = notices;
    this.#keeper = new RewindKeeper(workspace, (error) => {
      this.#keep.checked = false;
      notices.error(error, 'The past is not kept any more');
    });
    const bookmark = form(
      'bookmark',
      () => void this.#setBookmark(),
      field('Bookmark', this.#label, 'field grow'),
      element('button', { attributes: { type: 'submit' } }, 'Bookmark this moment'),
    );
    this.#bookmarksField.append(this.#forget);
    this.#controls = element(
      'div',
      { className: 'rewind-controls' },
      this.#canvas,
      field('Moment', this.#slider, 'field moment'),
      element('div', { className: 'ends' }, this.#oldest, this.#here),
      this.#full,
      element(
        'div',
        { className: 'rewind-buttons' },
        this.#goOn,
        this.#present,
        button('Stop recording', () => void this.#stop()),
        element('label', { className: 'check' }, this.#keep, 'Keep across reloads'),
      ),
      bookmark,
      element('div', { className: 'choices' }, this.#bookmarksField, this.#futuresField),
      this.#figures,
    );
    this.element = element(
      'div',
      { className: 'rewind' },
      this.#about,
      this.#record,
      this.#reopen,
      this.#controls,
    );
    workspace.current.watch((machine) => void this.#follow(machine));
    workspace.engine.watch(() => void this.#follow(workspace.current.value));
    document.addEventListener('visibilitychange', () => {
      void this.#rewind?.setSuspended(document.hidden).catch(() => {});
    });
    setInterval(() => void this.#refreshQuietly(), REFRESH_MS);
    this.#show();
  }

  async #follow(machine: OpenMachine | null): Promise<void> {
    this.#machine = machine;
    this.#rewind = null;
    this.#stats = null;
    this.#presentId = null;
    this.#wanted = null;
    this.#keep.checked = false;
    this.#reopen.hidden = true;
    void this.#keeper.keep(null);
    this.#show();
    if (machine === null) return;
    const client = await machine.joined.catch(() => null);
    if (client === null || this.#machine !== machine) return;
    this.#rewind = client.rewind;
    await this.#refreshQuietly();
    const isAsked = this.#stats === null && this.#keeper.mayHaveKept(machine.name);
    const isStored = isAsked && (await client.rewind.isStored().catch(() => false));
    if (this.#machine === machine) this.#reopen.hidden = !isStored;
  }

  async #start(): Promise<void> {
    await this.#guard('Starting to record', async (rewind) => {
      await rewind.start({ epochMs: EPOCH_MS });
      await this.#refresh(rewind);
      this.#slider.focus();
    });
  }

  /** After a reload: the machine goes on from where its past was kept last. */
  async #openKept(): Promise<void> {
    const machine = this.#machine;
    await this.#guard('Opening the past that was kept', async (rewind) => {
      if (machine === null) return;
      await rewind.reopen((snapshot) => this.#workspace.restore(machine, snapshot), { epochMs: EPOCH_MS });
      this.#reopen.hidden = true;
      await this.#refresh(rewind);
      this.#keep.checked = true;
      await this.#setKept(true);
    });
  }

  async #setKept(isKept: boolean): Promise<void> {
    const client = isKept ? await this.#machine?.joined : undefined;
    await this.#keeper.keep(client ?? null);
  }

  async #stop(): Promise<void> {
    this.#keep.checked = false;
    await this.#keeper.keep(null);
    await this.#guard('Ending the recording', async (rewind) => {
      await rewind.stop();
      this.#presentId = null;
      await this.#refresh(rewind);
    });
  }

  async #resume(): Promise<void> {
    await this.#guard('Going on', async (rewind) => {
      const point = this.#points.find(({ isHead }) => isHead);
      const backMs = (this.#points.at(-1)?.atMs ?? 0) - (point?.atMs ?? 0);
      await rewind.resume();
      if (backMs > 0) this.#machine?.remark(`went on from ${formatSpan(backMs)} back`);
      this.#presentId = null;
      await this.#refresh(rewind);
    });
  }

  async #backToPresent(): Promise<void> {
    const id = this.#presentId ?? this.#points.at(-1)?.id;
    await this.#guard('Coming back', async (rewind) => {
      if (id !== undefined) await rewind.seek(id);
      await rewind.resume();
      this.#presentId = null;
      await this.#refresh(rewind);
    });
  }

  async #setBookmark(): Promise<void> {
    await this.#guard('Setting a bookmark', async (rewind) => {
      if (this.#stats?.state === 'recording') await this.#refresh(rewind);
      const point = this.#points.find(({ isHead }) => isHead) ?? this.#points.at(-1);
      if (point === undefined) return;
      await rewind.bookmark(point.id, this.#label.value.trim() || `moment ${formatSpan(point.atMs)}`);
      this.#label.value = '';
      await this.#refresh(rewind);
    });
  }

  async #forgetBookmark(): Promise<void> {
    await this.#guard('Forgetting a bookmark', async (rewind) => {
      await rewind.forget(Number(this.#bookmarks.value));
      await this.#refresh(rewind);
    });
  }

  /** The first option of a list is none. */
  #choose(id: string): void {
    if (id !== '') void this.#seek(Number(id));
  }

  #onDrag(): void {
    const { first } = this.#span();
    const atMs = first + Number(this.#slider.value);
    const line = this.#line();
    const nearest = line.reduce<RewindPoint | null>(
      (best, point) =>
        best === null || Math.abs(point.atMs - atMs) < Math.abs(best.atMs - atMs) ? point : best,
      null,
    );
    if (nearest !== null) void this.#seek(nearest.id);
  }

  #onKey(event: KeyboardEvent): void {
    const line = this.#line();
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
    const point = line[Math.max(0, Math.min(line.length - 1, target))];
    if (point !== undefined && point.id !== now) void this.#seek(point.id);
  }

  /** Goes to a point; while one seek is under way the last point asked for waits. */
  async #seek(id: number): Promise<void> {
    this.#wanted = id;
    if (this.#isSeeking) return;
    this.#isSeeking = true;
    try {
      while (this.#wanted !== null) {
        const target: number = this.#wanted;
        const done = await this.#guard('Going there', async (rewind) => {
          const wasRecording = this.#stats?.state !== 'scrubbing';
          await rewind.seek(target);
          if (!wasRecording) {
            this.#points = this.#points.map((point) => ({ ...point, isHead: point.id === target }));
            if (!this.#points.some(({ onTimeline, isHead }) => onTimeline && isHead))
              await this.#refresh(rewind);
            return true;
          }
          await this.#refresh(rewind);
          this.#presentId = this.#line().at(-1)?.id ?? null;
          return true;
        });
        if (this.#wanted === target || done === undefined) this.#wanted = null;
        this.#show();
      }
    } finally {
      this.#isSeeking = false;
    }
  }

  async #refresh(rewind: RewindClient): Promise<void> {
    const stats = await rewind.stats();
    const points = stats === null ? [] : await rewind.points({ branches: true });
    if (this.#rewind !== rewind) return;
    this.#stats = stats;
    this.#points = points;
    this.#show();
  }

  /** The clock asks. */
  async #refreshQuietly(): Promise<void> {
    const rewind = this.#rewind;
    if (rewind === null || document.hidden || this.#isSeeking || this.#stats?.state === 'scrubbing') return;
    const machine = this.#machine;
    await this.#refresh(rewind).catch((error: unknown) => {
      if (this.#machine !== machine) return;
      if (this.#stats !== null && machine?.lost.value === null) {
        this.#notices.error(error, 'The recording ended');
      }
      this.#stats = null;
      this.#show();
    });
  }

  async #guard<T>(title: string, work: (rewind: RewindClient) => Promise<T>): Promise<T | undefined> {
    const rewind = this.#rewind;
    if (rewind === null) return undefined;
    return this.#notices.guard(title, () => work(rewind));
  }

  #line(): RewindPoint[] {
    return this.#points.filter(({ onTimeline }) => onTimeline);
  }

  #span(): { readonly first: number; readonly last: number } {
    const line = this.#line();
    return { first: line[0]?.atMs ?? 0, last: line.at(-1)?.atMs ?? 0 };
  }

  #show(): void {
    const stats = this.#stats;
    this.#record.hidden = stats !== null;
    if (stats !== null) this.#reopen.hidden = true;
    this.#record.disabled = this.#rewind === null;
    this.#about.hidden = stats !== null;
    this.#controls.hidden = stats === null;
    if (stats === null) return;
    const line = this.#line();
    const { first, last } = this.#span();
    const head = line.find(({ isHead }) => isHead) ?? line.at(-1);
    const isScrubbing = stats.state === 'scrubbing';
    this.#slider.max = String(last - first);
    this.#slider.value = String((head?.atMs ?? last) - first);
    const back = head === undefined ? 0 : last - head.atMs;
    const moment = isScrubbing ? `${formatBack(back)} before the present` : 'the present';
    const marked = head?.label == null ? '' : `, “${head.label}”`;
    this.#slider.setAttribute('aria-valuetext', `${moment}${marked}`);
    this.#here.textContent = `${moment}${marked}`;
    this.#oldest.textContent = `oldest moment: ${formatBack(last - first)} ago`;
    drawTimeline(this.#canvas, line);
    const bookmarks = this.#points.filter(({ label }) => label !== null);
    this.#canvas.setAttribute(
      'aria-label',
      `${formatCount(line.length, 'point')} over ${formatBack(last - first)}, ${formatCount(bookmarks.length, 'bookmark')}`,
    );
    this.#goOn.disabled = !isScrubbing;
    this.#present.disabled = !isScrubbing;
    this.#full.hidden = stats.state !== 'full';
    this.#full.textContent =
      'The bookmarks leave no room for the present, so the machine is held. Forget one, go to one, or stop recording.';
    const ends = this.#points.filter((point) => point.isEnd && !point.onTimeline);
    const when = (point: RewindPoint) => `${formatSpan(point.atMs)} after the start`;
    this.#bookmarksField.hidden = bookmarks.length === 0;
    fill(this.#bookmarks, bookmarks, (point) => point.label ?? '', head);
    this.#forget.disabled = this.#bookmarks.value === '';
    this.#futuresField.hidden = ends.length === 0;
    fill(this.#futures, ends, (point) => `left ${when(point)}`, undefined);
    const { taken, skippedBehind, skippedBusy, skippedSuspended } = stats.epochs;
    this.#figures.textContent = [
      `${formatCount(stats.points, 'point')} in ${formatBytes(stats.usedBytes)} of ${formatBytes(stats.budgetBytes)}`,
      `pause ${formatMs(stats.lastPauseMs)}, work ${formatMs(stats.lastWorkMs)}`,
      `${formatCount(taken, 'epoch')}, ${skippedBehind + skippedBusy + skippedSuspended} left out`,
    ].join('; ');
  }
}

/** Options for points, with one in front that is none of them. */
function fill(
  select: HTMLSelectElement,
  points: readonly RewindPoint[],
  title: (point: RewindPoint) => string,
  chosen: RewindPoint | undefined,
): void {
  const options = points.map((point) => ({ value: String(point.id), title: title(point) }));
  const isSame =
    select.options.length === options.length + 1 &&
    options.every(({ value }, index) => select.options[index + 1]?.value === value);
  // A list that is open must not be rebuilt under the pointer.
  if (!isSame) setOptions(select, [{ value: '', title: 'choose …' }, ...options]);
  select.value = chosen !== undefined && points.includes(chosen) ? String(chosen.id) : '';
}

/** `3.2 s`, `1 min 12 s`. */
function formatBack(ms: number): string {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : formatSpan(ms);
}
