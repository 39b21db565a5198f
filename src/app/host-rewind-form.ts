// How the recent past of a host machine is kept: how often a point, and within how many bytes. What the host was told last stands in it.

import type { RemotePast } from '../bridge/remote-guest.ts';
import { element, field, form } from './dom.ts';

const MIB = 1024 * 1024;
const DEFAULTS = { everyMs: 10_000, budgetBytes: 512 * MIB };

type Pace = Pick<RemotePast, 'everyMs' | 'budgetBytes'>;

export class HostRewindForm {
  readonly element: HTMLFormElement;
  readonly #every = element('input', {
    attributes: { type: 'number', min: 0.1, max: 86_400, step: 'any', required: true, size: 8 },
  });
  readonly #budget = element('input', {
    attributes: { type: 'number', min: 1, max: 1_048_576, step: 'any', required: true, size: 8 },
  });
  readonly #submit = element('button', { attributes: { type: 'submit' } }, 'Record');
  /** What stands in the fields, unless somebody typed. */
  #shown: Pace | null = null;

  constructor(onStart: (pace: Pace) => Promise<void>) {
    this.element = form(
      'row-form',
      () =>
        void onStart({
          everyMs: Math.round(this.#every.valueAsNumber * 1000),
          budgetBytes: Math.round(this.#budget.valueAsNumber * MIB),
        }),
      field('A point every, seconds', this.#every),
      field('Budget, MiB', this.#budget),
      this.#submit,
    );
  }

  /** Another machine is shown. */
  forget(): void {
    this.#shown = null;
  }

  allow(isAllowed: boolean): void {
    for (const control of [this.#every, this.#budget, this.#submit]) control.disabled = !isAllowed;
  }

  show({ isOn, everyMs, budgetBytes }: RemotePast): void {
    this.#submit.textContent = isOn ? 'Change' : 'Record';
    this.#submit.className = isOn ? '' : 'primary';
    const pace = everyMs === 0 ? DEFAULTS : { everyMs, budgetBytes };
    if (this.#shown?.everyMs === pace.everyMs && this.#shown.budgetBytes === pace.budgetBytes) return;
    this.#shown = pace;
    this.#every.value = String(pace.everyMs / 1000);
    this.#budget.value = String(pace.budgetBytes / MIB);
  }
}
