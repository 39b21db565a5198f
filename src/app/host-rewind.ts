// The recent past of the host machine on show, which the host keeps: begun and ended, a line to drag along, on from any point of it.
// While the machine is taken along it is held; it goes on when that is asked for. What the session may not do is shown and said, not hidden.

import { ERRORS, isErrorCode, isVitrineError } from '../base/error.ts';
import type { RemotePast } from '../bridge/remote-guest.ts';
import type { SnapshotId } from '../engine/snapshot.ts';
import { button, element } from './dom.ts';
import type { HostModel } from './host-model.ts';
import { HostRewindForm } from './host-rewind-form.ts';
import { MomentChoices } from './moment-choices.ts';
import { MomentLine } from './moment-line.ts';
import type { Notices } from './notices.ts';
import { type HostPoint, pastLine } from './past-line.ts';
import { formatBack, formatBytes, formatCount, formatMs, formatTime } from './quantity.ts';
import { askAboutForget, askAboutLookingBack } from './question.ts';

export class HostRewind {
  readonly element: HTMLDetailsElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #title = element('summary', {}, 'Rewind');
  readonly #about = element(
    'p',
    { className: 'hint' },
    'The host can keep the recent past of this machine: a snapshot every so often, fewer of them the older they are. You can go back ' +
      'to each, look inside, and go on from there.',
  );
  readonly #failure = element('p', { className: 'full', attributes: { role: 'alert' } });
  readonly #form: HostRewindForm;
  readonly #line = new MomentLine((id) => this.#go(id));
  readonly #choices = new MomentChoices({
    onChoose: (id) => void this.#line.seek(id),
    onBookmark: (text) => this.#setBookmark(text),
    onForget: (id) => this.#with('Forgetting a bookmark of', (name) => this.#mark(name, id, null)),
  });
  readonly #goOn = button('Go on from here', () => this.#resume(), { className: 'primary' });
  readonly #present = button('Back to the present', () => void this.#backToPresent());
  readonly #stop = button('Stop recording', () => this.#end(), {
    title: 'Take no more points; what there is stays',
  });
  readonly #forget = button('Forget this past …', () => this.#forgetAll());
  readonly #why = element('p', { className: 'hint' });
  readonly #figures = element('p', { className: 'hint figures-line' });
  readonly #past: HTMLElement;
  /** The end of the future that is looked into: where one came from. */
  #towards: SnapshotId | null = null;
  /** Where the machine was when it was taken back, where that is known. */
  #left: SnapshotId | null = null;

  constructor(model: HostModel, notices: Notices) {
    this.#model = model;
    this.#notices = notices;
    this.#form = new HostRewindForm((options) => this.#start(options));
    this.#past = element(
      'div',
      { className: 'rewind-controls' },
      this.#line.element,
      element('div', { className: 'rewind-buttons' }, this.#goOn, this.#present, this.#forget),
      this.#choices.element,
    );
    this.element = element(
      'details',
      { className: 'host-rewind', attributes: { open: '' } },
      this.#title,
      element(
        'div',
        { className: 'rewind' },
        this.#about,
        this.#failure,
        this.#past,
        this.#form.element,
        this.#why,
        this.#figures,
      ),
    );
    this.#form.element.append(this.#stop);
    const draw = (): void => this.#draw();
    model.current.watch(() => {
      this.#towards = null;
      this.#left = null;
      this.#line.forget();
      this.#form.forget();
    });
    model.past.watch(draw);
    model.machines.watch(draw);
    model.snapshots.watch(draw);
    model.state.watch(draw);
    model.current.watch(draw);
    // A line drawn while it was folded has no width.
    this.element.addEventListener('toggle', draw);
  }

  get #known(): RemotePast | null {
    const past = this.#model.past.value;
    return past === null || isVitrineError(past) ? null : past;
  }

  #look(past: RemotePast) {
    const { machine, snapshots } = this.#model;
    return pastLine(past.points, snapshots.value, machine?.base ?? null, this.#towards);
  }

  async #start(options: { readonly everyMs: number; readonly budgetBytes: number }): Promise<void> {
    await this.#ask('Recording', async (name) => {
      await this.#model.bridge.machine(name).rewindStart(options);
      await this.#model.refresh();
    });
  }

  #end(): void {
    this.#with('Ending the recording of', async (name) => {
      await this.#model.bridge.machine(name).rewindStop();
      await this.#model.refresh();
      this.#notices.tell(`${name} is not recorded any more. The points that there are stay.`);
    });
  }

  #forgetAll(): void {
    this.#with('Forgetting the past of', async (name) => {
      const points = this.#known?.points ?? [];
      const bookmarks = points.filter(({ bookmark }) => bookmark !== null).length;
      if (!(await askAboutForget(name, points.length - bookmarks, bookmarks))) return;
      await this.#model.bridge.machine(name).rewindStop({ forget: true });
      await this.#model.refresh();
    });
  }

  /** Takes the machine to a point, where it is held. */
  async #go(snapshot: SnapshotId): Promise<boolean> {
    const past = this.#known;
    if (past === null) return false;
    const isThere = await this.#ask('Going back with', async (name) => {
      const leaves = !past.isHeld;
      const left = leaves && !past.isOn ? await this.#saveFirst(name) : null;
      if (left === 'cancel') return false;
      const { line } = this.#look(past);
      const isOnLine = line.some((point) => point.snapshot === snapshot);
      this.#towards = isOnLine ? (line.at(-1)?.snapshot ?? null) : snapshot;
      await this.#model.run(`Going back with ${name}`, (job) =>
        this.#model.bridge.machine(name).rewindSeek(snapshot, job.options),
      );
      if (!leaves) return true;
      // Where it was is the newest point now.
      this.#left = left ?? (past.isOn ? (this.#known?.points.at(-1)?.snapshot ?? null) : null);
      if (isOnLine) this.#towards = this.#left;
      return true;
    });
    this.#draw();
    return isThere === true;
  }

  /** Of a machine that nobody records: the snapshot of where it is, null where it is given up. */
  async #saveFirst(name: string): Promise<SnapshotId | null | 'cancel'> {
    const { machine } = this.#model;
    if (machine?.permissions.includes('save') !== true) return null;
    const answer = await askAboutLookingBack(name);
    if (answer !== 'save-first') return answer === 'cancel' ? 'cancel' : null;
    const { snapshot } = await this.#model.run(`Saving ${name}`, (job) =>
      this.#model.bridge.machine(name).save({ label: 'before looking back', ...job.options }),
    );
    return snapshot.id;
  }

  #resume(): void {
    this.#with('Going on with', async (name) => {
      await this.#line.arrival;
      const past = this.#known;
      const from = past?.isHeld === true ? this.#look(past).head : null;
      await this.#model.bridge.machine(name).rewindResume();
      if (from !== null) this.#model.remark(name, `went on from ${formatTime(from.atMs)}`);
      this.#towards = null;
      this.#left = null;
      await this.#model.refresh();
      this.#line.focus();
    });
  }

  /** To where it was taken back from, or else to the last point; and on. */
  async #backToPresent(): Promise<void> {
    const present = this.#left ?? this.#known?.points.at(-1)?.snapshot;
    if (present === undefined) return;
    if (this.#model.machine?.base !== present) await this.#line.seek(present);
    if (this.#model.machine?.base === present) this.#resume();
  }

  async #setBookmark(text: string): Promise<boolean> {
    const isSet = await this.#ask('Setting a bookmark of', async (name) => {
      await this.#line.arrival;
      // While it runs its last point is another one every so often.
      await this.#model.refresh();
      const past = this.#known;
      const point = past === null ? null : this.#look(past).head;
      if (point === null) return false;
      const when = formatTime(point.atMs);
      await this.#mark(name, point.snapshot, text || `point of ${when}`);
      this.#notices.tell(`The point of ${when} is kept until it is forgotten by name.`);
      return true;
    });
    return isSet === true;
  }

  async #mark(name: string, point: SnapshotId, label: string | null): Promise<void> {
    await this.#model.bridge.machine(name).rewindMark(point, label);
    await this.#model.refresh();
  }

  #with(what: string, work: (name: string) => Promise<void>): void {
    void this.#ask(what, work);
  }

  async #ask<T>(what: string, work: (name: string) => Promise<T>): Promise<T | undefined> {
    const name = this.#model.current.value;
    if (name === null) return undefined;
    return this.#notices.guard(`${what} ${name}`, () => work(name));
  }

  #draw(): void {
    const { machine } = this.#model;
    const past = this.#model.past.value;
    this.element.hidden = machine === null || past === null;
    if (machine === null || past === null) return;
    const isBroken = isVitrineError(past);
    this.#failure.hidden = !isBroken && past.failure === null;
    this.#failure.textContent = isBroken
      ? `Its past cannot be read: ${told(past.code)}`
      : `The last point failed: ${told(past.failure ?? '')}`;
    this.#about.hidden = isBroken || past.points.length > 0;
    this.#past.hidden = isBroken || past.points.length === 0;
    this.#form.element.hidden = isBroken;
    this.#why.hidden = isBroken;
    this.#figures.hidden = isBroken || (past.points.length === 0 && !past.isOn);
    this.#title.textContent = isBroken ? 'Rewind' : `Rewind: ${past.isOn ? 'recording' : 'not recording'}`;
    if (isBroken) return;
    this.#allow(past);
    this.#form.show(past);
    this.#showLine(past);
    this.#figures.textContent = this.#figuresOf(past);
  }

  /** What may be done now, and why the rest may not. */
  #allow({ points, isOn }: RemotePast): void {
    const { state = 'lost', permissions = [] } = this.#model.machine ?? {};
    const isOpen = this.#model.state.value.kind === 'open';
    const isUp = state === 'running' || state === 'paused';
    const may = { save: permissions.includes('save'), restore: permissions.includes('restore') };
    const mayGo = isOpen && isUp && may.restore;
    const isHeld = state === 'paused';
    this.#present.textContent =
      isOn || this.#left !== null ? 'Back to the present' : 'Back to the last point';
    this.#line.isDisabled = !mayGo;
    this.#goOn.disabled = !mayGo || !isHeld;
    this.#present.disabled = !mayGo || !isHeld;
    this.#choices.allow({ bookmark: isOpen && may.save, go: mayGo });
    this.#form.allow(isOpen && isUp && may.save);
    this.#stop.hidden = !isOn;
    this.#stop.disabled = !isOpen || !may.save;
    this.#forget.hidden = isOn;
    this.#forget.disabled = !isOpen || !may.save || !permissions.includes('delete');
    const reasons = [
      ...(isOpen ? [] : ['It is shown as it was: the host is not reached.']),
      ...(isOpen && !isUp ? [`It is ${state}: start it to record it, or to go back.`] : []),
      ...(may.restore || points.length === 0
        ? []
        : ['You may look at its past; going back needs the permission restore.']),
      ...(may.save ? [] : ['Recording and bookmarks need the permission save.']),
    ];
    this.#why.textContent = reasons.join(' ');
    this.#why.hidden = reasons.length === 0;
  }

  #showLine(past: RemotePast): void {
    const { line, ends, head } = this.#look(past);
    const [first, last] = [line[0], line.at(-1)];
    if (first === undefined || last === undefined || head === null) return;
    const bookmarks = past.points.filter(({ bookmark }) => bookmark !== null);
    this.#line.show(
      line.map((point) => momentOf(point, head)),
      {
        oldest: `oldest point: ${formatTime(first.atMs)}`,
        here: this.#whereabouts(past, head, last),
        bookmarkCount: bookmarks.length,
      },
    );
    this.#choices.show(
      bookmarks.map(({ snapshot, bookmark }) => ({ id: snapshot, title: bookmark ?? '' })),
      ends.map(({ snapshot, atMs }) => ({ id: snapshot, title: `left at ${formatTime(atMs)}` })),
      past.isHeld ? head.snapshot : undefined,
    );
  }

  /** `12:03:22, 41.0 s before the last point, “before it broke”`. */
  #whereabouts({ isHeld }: RemotePast, head: HostPoint, last: HostPoint): string {
    const when = formatTime(head.atMs);
    const marked = head.bookmark === null ? '' : `, “${head.bookmark}”`;
    if (!isHeld) {
      const { state } = this.#model.machine ?? {};
      return `${state === 'running' ? 'the present' : state}; last point ${when}${marked}`;
    }
    if (head === last) return `held at ${when}, the last point${marked}`;
    return `held at ${when}, ${formatBack(last.atMs - head.atMs)} before the last point${marked}`;
  }

  #figuresOf({ points, bytes, budgetBytes, isOn, everyMs, paceMs, skippedCount }: RemotePast): string {
    const ids = new Set(points.map(({ snapshot }) => snapshot));
    const pauses = this.#model.snapshots.value
      .filter(({ id }) => ids.has(id))
      .map(({ statistics }) => statistics.pauseMs);
    const isSlower = paceMs > everyMs;
    return [
      `${formatCount(points.length, 'point')} in ${formatBytes(bytes)} of ${formatBytes(budgetBytes)}, and one whole state`,
      ...(pauses.length === 0
        ? []
        : [
            `paused ${formatMs(pauses.at(-1) ?? 0)} for the last one, ${formatMs(Math.max(...pauses))} at most`,
          ]),
      ...(isOn && isSlower
        ? [`one every ${formatMs(paceMs)}, not ${formatMs(everyMs)}: saves take a tenth of the time at most`]
        : []),
      ...(skippedCount === 0 ? [] : [`${formatCount(skippedCount, 'time')} left out: it rested or was busy`]),
    ].join('; ');
  }
}

function momentOf(point: HostPoint, head: HostPoint) {
  return { id: point.snapshot, atMs: point.atMs, label: point.bookmark, isHead: point === head };
}

/** `rewind-full: There is no room. Do this.` */
function told(code: string): string {
  if (!isErrorCode(code)) return code;
  const { meaning, remedy } = ERRORS[code];
  return `${code} — ${meaning} ${remedy}`;
}
