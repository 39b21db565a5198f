// Saving the machine that is shown: label, effort, live or not, progress, cancel, and what it cost.

import type { Progress } from '../base/work.ts';
import type { SaveReport } from '../engine/save.ts';
import type { Effort } from '../format/frame-codecs.ts';
import type { Region } from '../memory/region.ts';
import type { LiveReport } from '../tracking/tracker.ts';
import { button, choice, element, field, form } from './dom.ts';
import type { Job } from './job.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatBytes, formatCount, formatMs, formatNumber, shortId } from './quantity.ts';
import type { Unsubscribe } from './signal.ts';
import type { Workspace } from './workspace.ts';

const EFFORTS = [
  { value: 'none', title: 'none' },
  { value: 'fast', title: 'fast' },
  { value: 'balanced', title: 'balanced' },
  { value: 'small', title: 'small' },
] as const satisfies readonly { value: Effort; title: string }[];

export class SaveForm {
  readonly element: HTMLElement;
  readonly #label = element('input', {
    attributes: { type: 'text', maxlength: 200, placeholder: 'what is it?' },
  });
  readonly #effort = choice(EFFORTS);
  readonly #live = element('input', { attributes: { type: 'checkbox' } });
  readonly #save = element('button', { className: 'primary', attributes: { type: 'submit' } }, 'Save');
  readonly #bar = element('progress');
  readonly #phase = element('span', { className: 'phase', attributes: { role: 'status' } });
  readonly #work: HTMLElement;
  readonly #report = element('div', { className: 'report', attributes: { role: 'status' } });
  #stop: Unsubscribe[] = [];

  constructor(workspace: Workspace, notices: Notices) {
    this.#effort.value = 'balanced';
    const cancel = button('Cancel', () => workspace.current.value?.job.value?.cancel());
    this.#work = element('div', { className: 'work' }, this.#bar, this.#phase, cancel);
    const saving = form(
      'save',
      () => {
        const machine = workspace.current.value;
        if (machine !== null) void this.#onSave(workspace, notices, machine);
      },
      field('Label', this.#label, 'field grow'),
      field('Effort', this.#effort),
      element(
        'label',
        { className: 'check', title: 'Let the guest run on while its memory is captured, where it can' },
        this.#live,
        'Live',
      ),
      this.#save,
    );
    this.element = element('div', { className: 'saving' }, saving, this.#work, this.#report);
    workspace.current.watch((machine) => this.#follow(workspace, machine));
    workspace.engine.watch(() => this.#follow(workspace, workspace.current.value));
  }

  async #onSave(workspace: Workspace, notices: Notices, machine: OpenMachine): Promise<void> {
    void navigator.storage?.persist?.();
    const report = await notices.guard(`Saving ${machine.name}`, () =>
      workspace.save(machine, this.#label.value.trim(), this.#effort.value as Effort, {
        live: this.#live.checked,
      }),
    );
    if (report === undefined) return;
    this.#label.value = '';
    this.#report.replaceChildren(...describe(report, machine.guest.description.regions));
  }

  /** Shows the work of the machine on show. */
  #follow(workspace: Workspace, machine: OpenMachine | null): void {
    for (const stop of this.#stop.splice(0)) stop();
    if (machine === null) {
      this.#save.disabled = true;
      this.#save.textContent = 'Save';
      this.#work.hidden = true;
      return;
    }
    this.#save.textContent = `Save ${machine.name}`;
    this.#stop.push(
      machine.lost.watch(() => this.#enable(workspace, machine)),
      machine.job.watch((job) => {
        this.#enable(workspace, machine);
        this.#work.hidden = job === null;
        if (job === null) return;
        this.#phase.textContent = `${job.title} …`;
        this.#stop.push(job.progress.watch((progress) => this.#showProgress(job, progress)));
      }),
    );
  }

  #enable(workspace: Workspace, machine: OpenMachine): void {
    this.#save.disabled =
      workspace.engine.value === null || machine.lost.value !== null || machine.job.value !== null;
  }

  #showProgress(job: Job, progress: Progress | null): void {
    if (progress === null || progress.total === 0) {
      this.#bar.removeAttribute('value');
      return;
    }
    this.#bar.max = progress.total;
    this.#bar.value = progress.done;
    this.#phase.textContent = `${job.title}: ${progress.phase} ${formatNumber(progress.done)} of ${formatCount(progress.total, progress.unit.slice(0, -1))}`;
  }
}

/** A report as its figures. */
function describe(report: SaveReport, regions: readonly Region[]): Node[] {
  const { live } = report;
  const figures: readonly Figure[] = [
    ['saved as', shortId(report.snapshot.id)],
    ['guest paused', formatMs(report.pauseMs)],
    ...(live?.mode === 'barrier' ? liveFigures(live) : []),
    ['whole save', formatMs(report.totalMs)],
    ['pages scanned', formatNumber(report.pagesScanned)],
    ['changed', formatNumber(report.pagesChanged)],
    ...(report.pagesSkippedFree > 0 ? [freeFigure(report, regions)] : []),
    ['new objects', formatNumber(report.objectsNew)],
    ['written', formatBytes(report.bytesWritten)],
  ];
  const list = element(
    'dl',
    { className: 'figures' },
    ...figures.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
  if (live?.mode !== 'stopped') return [list];
  const reason = live.reason ?? 'it cannot be captured while it runs';
  return [list, element('p', { className: 'hint' }, `Not live, the guest was stopped: ${reason}.`)];
}

type Figure = readonly [name: string, value: string];

/** What the guest has no use for: bytes where all of its pages are of one size. */
function freeFigure({ pagesSkippedFree }: SaveReport, regions: readonly Region[]): Figure {
  const [pageBytes, ...others] = new Set(regions.map((region) => region.pageBytes));
  const isOneSize = pageBytes !== undefined && others.length === 0;
  const skipped = isOneSize
    ? formatBytes(pagesSkippedFree * pageBytes)
    : formatCount(pagesSkippedFree, 'page');
  return ['free, skipped', skipped];
}

/** What a capture cost a guest that ran on. */
function liveFigures(live: LiveReport): Figure[] {
  const spilled = live.spilled === 0 ? '' : `, ${formatNumber(live.spilled)} without room`;
  return [
    ['longest stall', formatMs(live.longestStallMs)],
    ['stalls in all', formatMs(live.totalStallMs)],
    ['copied aside', `${formatCount(live.pagesCopiedAside, 'page')}${spilled}`],
    ['ring at most', `${formatBytes(live.peakRingBytes)} of ${formatBytes(live.ringBytes)}`],
  ];
}
