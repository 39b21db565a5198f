// The recent past of the machine on show, as a line to drag along: its own screen shows each moment, held, until it goes on
// from there or comes back to the present.
//
// The line and the bookmarks are those of any past (`moment-line.ts`, `moment-choices.ts`); points of this one are numbered.

import type { RewindPoint, RewindStats } from '../rewind/rewind-report.ts';
import type { RewindClient } from '../rpc/rewind-client.ts';
import { button, element } from './dom.ts';
import { MomentChoices } from './moment-choices.ts';
import { MomentLine } from './moment-line.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatBack, formatBytes, formatCount, formatMs, formatSpan } from './quantity.ts';
import { RewindKeeper } from './rewind-keeper.ts';
import type { Workspace } from './workspace.ts';

const EPOCH_MS = 100;
/** How often figures and points are asked for while it records. */
const REFRESH_MS = 1000;

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
  readonly #line = new MomentLine((id) => this.#go(Number(id)));
  readonly #goOn = button('Go on from here', () => void this.#resume(), { className: 'primary' });
  readonly #present = button('Back to the present', () => void this.#backToPresent());
  readonly #choices = new MomentChoices({
    onChoose: (id) => void this.#line.seek(id),
    onBookmark: (text) => this.#setBookmark(text),
    onForget: (id) => void this.#forgetBookmark(Number(id)),
  });
  readonly #full = element('p', { className: 'full', attributes: { role: 'alert' } });
  readonly #figures = element('p', { className: 'hint figures-line' });
  readonly #controls: HTMLElement;

  #machine: OpenMachine | null = null;
  #rewind: RewindClient | null = null;
  #points: readonly RewindPoint[] = [];
  #stats: RewindStats | null = null;
  /** Where the present was left. */
  #presentId: number | null = null;

  constructor(workspace: Workspace, notices: Notices) {
    this.#workspace = workspace;
    this.#notices = notices;
    this.#keeper = new RewindKeeper(workspace, (error) => {
      this.#keep.checked = false;
      notices.error(error, 'The past is not kept any more');
    });
    this.#controls = element(
      'div',
      { className: 'rewind-controls' },
      this.#line.element,
      this.#full,
      element(
        'div',
        { className: 'rewind-buttons' },
        this.#goOn,
        this.#present,
        button('Stop recording', () => void this.#stop()),
        element('label', { className: 'check' }, this.#keep, 'Keep across reloads'),
      ),
      this.#choices.element,
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
    workspace.snapshots.watch(() => void this.#offerKept());
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
    this.#line.forget();
    this.#keep.checked = false;
    this.#reopen.hidden = true;
    void this.#keeper.keep(null);
    this.#show();
    if (machine === null) return;
    const client = await machine.joined.catch(() => null);
    // Asked for twice before it was there, it comes twice.
    if (client === null || this.#machine !== machine || this.#rewind === client.rewind) return;
    this.#rewind = client.rewind;
    await this.#refreshQuietly();
    await this.#offerKept();
  }

  /** A machine may be open before the list of snapshots was read. */
  async #offerKept(): Promise<void> {
    const [rewind, machine] = [this.#rewind, this.#machine];
    const mayBe = () =>
      this.#rewind === rewind &&
      this.#stats === null &&
      machine !== null &&
      this.#keeper.mayHaveKept(machine.name);
    const isStored = rewind !== null && mayBe() && (await rewind.isStored().catch(() => false));
    if (this.#rewind === rewind) this.#reopen.hidden = !(isStored && mayBe());
  }

  async #start(): Promise<void> {
    await this.#guard('Starting to record', async (rewind) => {
      await rewind.start({ epochMs: EPOCH_MS });
      await this.#refresh(rewind);
      this.#line.focus();
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
    await this.#line.arrival;
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
    await this.#line.arrival;
    const id = this.#presentId ?? this.#points.at(-1)?.id;
    await this.#guard('Coming back', async (rewind) => {
      if (id !== undefined) await rewind.seek(id);
      await rewind.resume();
      this.#presentId = null;
      await this.#refresh(rewind);
    });
  }

  async #setBookmark(text: string): Promise<boolean> {
    await this.#line.arrival;
    const isSet = await this.#guard('Setting a bookmark', async (rewind) => {
      if (this.#stats?.state === 'recording') await this.#refresh(rewind);
      const point = this.#points.find(({ isHead }) => isHead) ?? this.#points.at(-1);
      if (point === undefined) return false;
      await rewind.bookmark(point.id, text || `moment ${formatSpan(point.atMs)}`);
      await this.#refresh(rewind);
      return true;
    });
    return isSet === true;
  }

  async #forgetBookmark(id: number): Promise<void> {
    await this.#guard('Forgetting a bookmark', async (rewind) => {
      await rewind.forget(id);
      await this.#refresh(rewind);
    });
  }

  /** Takes the machine to a point. */
  async #go(id: number): Promise<boolean> {
    const done = await this.#guard('Going there', async (rewind) => {
      const wasRecording = this.#stats?.state !== 'scrubbing';
      await rewind.seek(id);
      if (!wasRecording) {
        this.#points = this.#points.map((point) => ({ ...point, isHead: point.id === id }));
        if (!this.#points.some(({ onTimeline, isHead }) => onTimeline && isHead)) await this.#refresh(rewind);
        return true;
      }
      await this.#refresh(rewind);
      this.#presentId = this.#timeline().at(-1)?.id ?? null;
      return true;
    });
    this.#show();
    return done === true;
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
    if (rewind === null || document.hidden || this.#line.isGoing || this.#stats?.state === 'scrubbing')
      return;
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

  #timeline(): RewindPoint[] {
    return this.#points.filter(({ onTimeline }) => onTimeline);
  }

  #show(): void {
    const stats = this.#stats;
    this.#record.hidden = stats !== null;
    if (stats !== null) this.#reopen.hidden = true;
    this.#record.disabled = this.#rewind === null;
    this.#about.hidden = stats !== null;
    this.#controls.hidden = stats === null;
    if (stats === null) return;
    const line = this.#timeline();
    const [first, last] = [line[0]?.atMs ?? 0, line.at(-1)?.atMs ?? 0];
    const head = line.find(({ isHead }) => isHead) ?? line.at(-1);
    const isScrubbing = stats.state === 'scrubbing';
    const back = head === undefined ? 0 : last - head.atMs;
    const moment = isScrubbing ? `${formatBack(back)} before the present` : 'the present';
    const marked = head?.label == null ? '' : `, “${head.label}”`;
    const bookmarks = this.#points.filter(({ label }) => label !== null);
    this.#line.show(
      line.map((point) => ({ ...point, id: String(point.id) })),
      {
        oldest: `oldest moment: ${formatBack(last - first)} ago`,
        here: `${moment}${marked}`,
        bookmarkCount: bookmarks.length,
      },
    );
    this.#goOn.disabled = !isScrubbing;
    this.#present.disabled = !isScrubbing;
    this.#full.hidden = stats.state !== 'full';
    this.#full.textContent =
      'The bookmarks leave no room for the present, so the machine is held. Forget one, go to one, or stop recording.';
    const ends = this.#points.filter((point) => point.isEnd && !point.onTimeline);
    this.#choices.show(
      bookmarks.map(({ id, label }) => ({ id: String(id), title: label ?? '' })),
      ends.map(({ id, atMs }) => ({
        id: String(id),
        title: `left ${formatSpan(atMs)} after the start`,
      })),
      head === undefined ? undefined : String(head.id),
    );
    const { taken, skippedBehind, skippedBusy, skippedSuspended } = stats.epochs;
    this.#figures.textContent = [
      `${formatCount(stats.points, 'point')} in ${formatBytes(stats.usedBytes)} of ${formatBytes(stats.budgetBytes)}`,
      `pause ${formatMs(stats.lastPauseMs)}, work ${formatMs(stats.lastWorkMs)}`,
      `${formatCount(taken, 'epoch')}, ${skippedBehind + skippedBusy + skippedSuspended} left out`,
    ].join('; ');
  }
}
