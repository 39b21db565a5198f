// What the guest of the host machine on show asked for by its doorbell, newest first: when, what, and what it read as an answer. Followed
// as long as the bridge is there, for all machines at once; hidden where the guest never rang.

import { ERRORS, isErrorCode } from '../base/error.ts';
import type { BellInfo } from '../bridge/bridge-client.ts';
import { element } from './dom.ts';
import type { HostModel } from './host-model.ts';
import { formatCount, formatTime } from './quantity.ts';

/** Rows that are kept of a machine. */
const MAX_ROWS = 20;

export class HostBells {
  readonly element: HTMLElement;
  readonly #model: HostModel;
  readonly #rows = element('div', {
    attributes: { role: 'log', 'aria-label': 'What the guest asked for by its doorbell' },
  });
  /** By machine, newest first. */
  readonly #rings = new Map<string, BellInfo[]>();
  #isRefreshing = false;

  constructor(model: HostModel) {
    this.#model = model;
    this.element = element(
      'details',
      { className: 'host-bells', attributes: { open: '' } },
      element('summary', {}, 'Asked for by the guest'),
      this.#rows,
    );
    this.element.hidden = true;
    model.state.watch(({ kind }) => {
      if (kind === 'open') void this.#follow();
    });
    model.current.watch(() => this.#draw());
  }

  async #follow(): Promise<void> {
    // The host tells the last ones again.
    this.#rings.clear();
    this.#draw();
    try {
      await this.#model.bridge.followBells((bell) => this.#hear(bell));
    } catch {
      // Lost connections are the pane's to show, and it is followed anew at the next one; another host may have no bells.
    }
  }

  #hear(bell: BellInfo): void {
    const rings = this.#rings.get(bell.machine) ?? [];
    const newest = rings[0];
    // A flood is one row.
    const isMore = newest !== undefined && textOf(newest) === textOf(bell) && newest.code === bell.code;
    if (isMore) rings[0] = { ...bell, count: newest.count + bell.count };
    else rings.unshift(bell);
    this.#rings.set(bell.machine, rings.slice(0, MAX_ROWS));
    if (bell.machine === this.#model.current.value) this.#draw();
    // There is a snapshot that was not, or another to go on from.
    if (bell.answer !== 'refused') void this.#refresh();
  }

  /** One at a time: the last rings come all at once. */
  async #refresh(): Promise<void> {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    // The next look tells what this one could not.
    await this.#model.refresh().catch(() => {});
    this.#isRefreshing = false;
  }

  #draw(): void {
    const rings = this.#rings.get(this.#model.current.value ?? '') ?? [];
    this.element.hidden = rings.length === 0;
    this.#rows.replaceChildren(...rings.map(rowOf));
  }
}

function rowOf(bell: BellInfo): HTMLElement {
  const { code, count, atMs, answer } = bell;
  const times = count === 1 ? '' : `, ${formatCount(count, 'time')}`;
  const title = code !== null && isErrorCode(code) ? { title: ERRORS[code].meaning } : {};
  const why = code === null ? [] : [element('code', title, code)];
  return element(
    'div',
    { className: 'host-bell', attributes: { 'data-answer': answer } },
    element('span', {}, `${formatTime(atMs)} · ${textOf(bell)}${times}`),
    ...why,
  );
}

/** `save: saved 3f9a01234567`; the code of a refusal stands beside it. */
function textOf({ asked, answer, snapshot }: BellInfo): string {
  const id = snapshot === null ? '' : ` ${snapshot.slice(0, 12)}`;
  return `${asked ?? 'nothing known'}: ${answer}${id}`;
}
