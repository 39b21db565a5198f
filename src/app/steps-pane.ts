// Back and forth over what a machine did, an instruction at a time, for machines that do the same again. What it does from
// the beginning on is noted; held, it stands at any step of that, and its screen, its memory and its processor with it.

import type { StepPlace } from '../guest/steps.ts';
import { button, element, field, form } from './dom.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatAddress, formatMs, formatNumber } from './quantity.ts';
import type { Workspace } from './workspace.ts';

const LEAPS = [1, 1000, 1_000_000];

type Phase = 'live' | 'noting' | 'held';

export class StepsPane {
  readonly element: HTMLElement;
  readonly #notices: Notices;
  readonly #hint = element('p', { className: 'hint' });
  readonly #begin = button('Begin here', () => void this.#start(), { className: 'primary' });
  readonly #hold = button('Hold it', () => void this.#stop(), { className: 'primary' });
  readonly #release = button('Run on from here', () => void this.#letGo());
  readonly #place = element('output', { className: 'place', attributes: { 'aria-label': 'Place' } });
  readonly #step = element('input', { attributes: { type: 'text', inputmode: 'numeric', size: 14 } });
  readonly #back = LEAPS.map((leap) => this.#leap(-leap)).reverse();
  readonly #on = LEAPS.map((leap) => this.#leap(leap));
  readonly #registers = element('dl', {
    className: 'registers',
    attributes: { 'aria-label': 'Processor' },
  });
  readonly #controls: HTMLElement;
  readonly #phases = new WeakMap<OpenMachine, Phase>();
  readonly #places = new WeakMap<OpenMachine, StepPlace>();
  #machine: OpenMachine | null = null;
  #isBusy = false;

  constructor(workspace: Workspace, notices: Notices) {
    this.#notices = notices;
    const goTo = form(
      'bookmark',
      () => void this.#goTo(Number(this.#step.value.replaceAll(/[\s,]/g, ''))),
      field('Step', this.#step),
      element('button', { attributes: { type: 'submit' } }, 'Go there'),
    );
    this.#controls = element(
      'div',
      { className: 'rewind-controls' },
      this.#place,
      element(
        'div',
        { className: 'rewind-buttons', attributes: { role: 'group', 'aria-label': 'Steps' } },
        ...this.#back,
        ...this.#on,
      ),
      goTo,
      this.#registers,
    );
    this.element = element(
      'div',
      { className: 'rewind steps' },
      this.#hint,
      element('div', { className: 'rewind-buttons' }, this.#begin, this.#hold, this.#release),
      this.#controls,
    );
    workspace.current.watch((machine) => {
      this.#machine = machine;
      this.#show();
    });
    this.#show();
  }

  #leap(by: number): HTMLButtonElement {
    const [sign, way] = by < 0 ? ['−', 'back'] : ['+', 'on'];
    const many = Math.abs(by);
    const title = `${formatNumber(many)} ${many === 1 ? 'step' : 'steps'} ${way}`;
    return button(`${sign}${formatNumber(many)}`, () => void this.#goTo(this.#here() + by), { title });
  }

  #here(): number {
    return (this.#machine && this.#places.get(this.#machine)?.steps) ?? 0;
  }

  #start(): Promise<void> {
    return this.#do('Beginning', async (machine) => {
      await machine.guest.steps.begin();
      this.#phases.set(machine, 'noting');
    });
  }

  #stop(): Promise<void> {
    return this.#do('Holding', async (machine) => {
      // Whatever happens, it notes no more.
      this.#phases.set(machine, 'live');
      this.#places.set(machine, await machine.guest.steps.hold());
      this.#phases.set(machine, 'held');
    });
  }

  #letGo(): Promise<void> {
    return this.#do('Running on', async (machine) => {
      await machine.guest.steps.release();
      this.#phases.set(machine, 'live');
      this.#places.delete(machine);
    });
  }

  #goTo(steps: number): Promise<void> {
    return this.#do('Stepping', async (machine) => {
      const end = this.#places.get(machine)?.endSteps ?? 0;
      const wanted = Math.max(0, Math.min(end, steps));
      this.#places.set(machine, await machine.guest.steps.go(wanted));
    });
  }

  async #do(title: string, work: (machine: OpenMachine) => Promise<void>): Promise<void> {
    const machine = this.#machine;
    if (machine === null || this.#isBusy) return;
    this.#isBusy = true;
    this.#show();
    await this.#notices.guard(`${title} ${machine.name}`, () => work(machine));
    this.#isBusy = false;
    this.#show();
  }

  #show(): void {
    const machine = this.#machine;
    const canStep = machine?.entry.canStep === true;
    const phase = machine === null ? 'live' : (this.#phases.get(machine) ?? 'live');
    const place = machine === null ? undefined : this.#places.get(machine);
    this.#hint.textContent = canStep ? HINTS[phase] : HINTS.none;
    this.#begin.hidden = !canStep || phase !== 'live';
    this.#hold.hidden = !canStep || phase !== 'noting';
    this.#release.hidden = !canStep || phase === 'live';
    this.#release.textContent = phase === 'held' ? 'Run on from here' : 'Note no more';
    this.#controls.hidden = !canStep || phase !== 'held' || place === undefined;
    for (const one of this.element.querySelectorAll('button')) one.disabled = this.#isBusy;
    if (place === undefined || this.#isBusy) return;
    for (const one of this.#back) one.disabled = place.steps === 0;
    for (const one of this.#on) one.disabled = place.steps >= place.endSteps;
    this.#place.textContent =
      `step ${formatNumber(place.steps)} of ${formatNumber(place.endSteps)}, ` +
      `${formatMs(place.elapsedMs)} after the beginning`;
    this.#step.value = formatNumber(place.steps);
    this.#registers.replaceChildren(
      ...place.registers.map(({ name, value }) => entry(name, formatAddress(value))),
      ...(place.code.length === 0 ? [] : [entry('next', hexOf(place.code))]),
    );
  }
}

const HINTS: Readonly<Record<Phase | 'none', string>> = {
  none: 'For machines that do the same again: open “Pulse, step by step”, or choose “Step from here” at a snapshot of Pulse or Linux.',
  live: 'Notes what this machine does from here on, to be gone back and forth over, an instruction at a time.',
  noting: 'All that enters this machine is noted. Use it, then hold it.',
  held: 'This machine stands still. What is on its screen and in its memory is of this step.',
};

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

function entry(name: string, value: string): HTMLElement {
  return element('div', {}, element('dt', {}, name), element('dd', {}, value));
}
