// The machines that are open, as tabs, and the guests that can be opened.

import { button, element } from './dom.ts';
import { CATALOG, isOffered } from './guests/catalog.ts';
import { MachinePane } from './machine-pane.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import type { Screens } from './screens.ts';
import type { Workspace } from './workspace.ts';

export class MachineTabs {
  readonly element: HTMLElement;
  readonly #workspace: Workspace;
  readonly #notices: Notices;
  readonly #screens: Screens;
  readonly #tabs = element('div', {
    className: 'tabs',
    attributes: { role: 'tablist', 'aria-label': 'Open machines' },
  });
  readonly #panels = element('div', { className: 'panels' });
  readonly #hint = element('p', { className: 'hint' }, 'No guest is open.');
  readonly #panes = new Map<OpenMachine, { readonly tab: HTMLButtonElement; readonly pane: MachinePane }>();

  constructor(workspace: Workspace, notices: Notices, screens: Screens) {
    this.#workspace = workspace;
    this.#screens = screens;
    this.#notices = notices;
    const offers = element('div', {
      className: 'offers',
      attributes: { role: 'group', 'aria-label': 'Open a guest' },
    });
    void this.#offer(offers);
    this.element = element(
      'section',
      { className: 'machines', attributes: { 'aria-label': 'Machines' } },
      element('div', { className: 'machines-head' }, this.#tabs, offers),
      this.#panels,
      this.#hint,
    );
    this.#tabs.addEventListener('keydown', (event) => this.#onKey(event));
    workspace.machines.watch((machines) => this.#follow(machines));
    workspace.current.watch((current) => this.#show(current));
  }

  /** The pane of a machine that is open. */
  paneOf(machine: OpenMachine): MachinePane | undefined {
    return this.#panes.get(machine)?.pane;
  }

  async #offer(offers: HTMLElement): Promise<void> {
    offers.append(element('span', { className: 'offers-title' }, 'Open'));
    for (const entry of CATALOG) {
      if ('isHidden' in entry) continue;
      const offer = button(entry.title, () => void this.#open(entry.name, offer), { title: entry.about });
      offer.hidden = 'images' in entry;
      offers.append(offer);
      if (await isOffered(entry)) offer.hidden = false;
    }
  }

  async #open(name: string, offer: HTMLButtonElement): Promise<void> {
    offer.disabled = true;
    await this.#notices.guard(`Opening ${name}`, () => this.#workspace.open(name));
    offer.disabled = false;
  }

  #follow(machines: readonly OpenMachine[]): void {
    for (const [machine, { tab, pane }] of this.#panes) {
      if (machines.includes(machine)) continue;
      tab.remove();
      pane.element.remove();
      this.#panes.delete(machine);
    }
    for (const machine of machines) {
      if (this.#panes.has(machine)) continue;
      const pane = new MachinePane(machine, this.#workspace, this.#notices, this.#screens);
      const id = `machine-${machine.name}`;
      const mark = element('span', { className: 'mark', attributes: { 'aria-hidden': 'true' } });
      const tab = element(
        'button',
        {
          id: `${id}-tab`,
          attributes: { type: 'button', role: 'tab', 'aria-controls': id },
          on: { click: () => this.#workspace.current.set(machine) },
        },
        mark,
        machine.name,
      );
      machine.isRunning.watch((isRunning) => {
        mark.textContent = isRunning ? '▶ ' : '■ ';
        tab.title = isRunning ? 'running' : 'stopped';
      });
      machine.lost.watch((reason) => {
        if (reason === null) return;
        mark.textContent = '✕ ';
        tab.title = 'lost';
      });
      pane.element.id = id;
      pane.element.setAttribute('role', 'tabpanel');
      pane.element.setAttribute('aria-labelledby', tab.id);
      this.#panes.set(machine, { tab, pane });
      this.#tabs.append(tab);
      this.#panels.append(pane.element);
    }
    this.#show(this.#workspace.current.value);
  }

  #show(current: OpenMachine | null): void {
    this.#hint.hidden = this.#panes.size > 0;
    for (const [machine, { tab, pane }] of this.#panes) {
      const isCurrent = machine === current;
      tab.setAttribute('aria-selected', String(isCurrent));
      tab.tabIndex = isCurrent ? 0 : -1;
      pane.setShown(isCurrent);
    }
  }

  #onKey(event: KeyboardEvent): void {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    const machines = [...this.#panes.keys()];
    const at = this.#workspace.current.value === null ? -1 : machines.indexOf(this.#workspace.current.value);
    const next = machines[(at + step + machines.length) % machines.length];
    if (step === 0 || next === undefined) return;
    event.preventDefault();
    this.#workspace.current.set(next);
    this.#panes.get(next)?.tab.focus();
  }
}
