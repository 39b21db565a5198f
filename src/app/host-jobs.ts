// Long work on the host, of everybody whom the session may see: how far it is, how it ended, and giving it up. Read while it is open.

import { errorFrom } from '../bridge/error-body.ts';
import type { JobInfo } from '../bridge/job-info.ts';
import { button, element } from './dom.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { formatNumber, formatTime } from './quantity.ts';

const READ_MS = 1_000;
/** Ended ones that are shown. */
const MAX_SHOWN = 20;

export class HostJobs {
  readonly element: HTMLDetailsElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #rows = element('div', { attributes: { role: 'list', 'aria-label': 'Jobs of the host' } });
  #shown = '';
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(model: HostModel, notices: Notices) {
    this.#model = model;
    this.#notices = notices;
    this.element = element(
      'details',
      { className: 'host-jobs' },
      element('summary', {}, 'Jobs of the host'),
      this.#rows,
    );
    this.element.addEventListener('toggle', () => void this.#follow());
    model.job.watch(() => void this.#follow());
  }

  async #follow(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.element.open) return;
    // The next look tells what this one could not; the pane says how the connection stands.
    const jobs = await this.#model.bridge.jobs().catch(() => null);
    if (jobs !== null) this.#draw(jobs);
    if (this.#timer !== null || !this.element.open) return;
    this.#timer = setTimeout(() => void this.#follow(), READ_MS);
  }

  #draw(jobs: readonly JobInfo[]): void {
    const shown = [...jobs].sort((a, b) => b.startedAtMs - a.startedAtMs).slice(0, MAX_SHOWN);
    const text = JSON.stringify(shown);
    if (text === this.#shown) return;
    this.#shown = text;
    const rows = shown.map((job) => this.#row(job));
    this.#rows.replaceChildren(...(rows.length > 0 ? rows : [element('p', { className: 'hint' }, 'None.')]));
  }

  #row(job: JobInfo): HTMLElement {
    const { id, verb, machine, state, startedAtMs, progress, error } = job;
    const isOver = state === 'done' || state === 'failed' || state === 'cancelled';
    const what = `${verb}${machine === null ? '' : ` ${machine}`}`;
    const row = element(
      'div',
      { className: 'host-job', attributes: { role: 'listitem', 'data-job': id, 'data-state': state } },
      element('span', {}, `${what} · ${formatTime(startedAtMs)} · ${state}`),
    );
    if (isOver) {
      if (error === null) return row;
      const failure = errorFrom(error);
      const why = button('Why?', () => this.#notices.error(failure, `${what} on the host`));
      row.append(element('code', {}, failure.code), why);
      return row;
    }
    if (progress !== null && progress.total > 0) {
      row.append(element('progress', { attributes: { max: progress.total, value: progress.done } }));
    }
    if (progress !== null) row.append(`${progress.phase} ${formatNumber(progress.done)}`);
    row.append(
      button('Cancel', () => {
        void this.#notices.guard(`Cancelling ${what}`, async () => {
          await this.#model.bridge.cancelJob(id);
          await this.#follow();
        });
      }),
    );
    return row;
  }
}
