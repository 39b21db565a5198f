// The machines of the host that serves the page: how the connection stands, which machines there are, and the one on show
// with its console, its snapshots and its memory. Loaded only where a bridge serves the page.

import type { LinkState } from '../bridge/bridge-link.ts';
import { factRows } from '../bridge/fact-rows.ts';
import type { Permission } from '../bridge/grant.ts';
import { button, element, field, form } from './dom.ts';
import { HostBells } from './host-bells.ts';
import { HostConsole } from './host-console.ts';
import { HostControls } from './host-controls.ts';
import { HostInside } from './host-inside.ts';
import { HostJobs } from './host-jobs.ts';
import { HostMemory } from './host-memory.ts';
import { HostModel } from './host-model.ts';
import { HostRunForm } from './host-run-form.ts';
import { HostScreen } from './host-screen.ts';
import { HostSnapshots } from './host-snapshots.ts';
import type { Job } from './job.ts';
import type { Notices } from './notices.ts';
import { formatBytes, formatCount, formatMs, formatNumber } from './quantity.ts';
import { TerminalView } from './terminal-view.ts';
import { nextPaint } from './turns.ts';
import { allow, whyNot } from './why-not.ts';
import type { Workspace } from './workspace.ts';

/** Builds the pane and connects. Throws nothing: what goes wrong is shown. */
export async function openHostPane(workspace: Workspace, notices: Notices): Promise<HostPane> {
  const pane = new HostPane(new HostModel(workspace), notices);
  await notices.guard('Connecting to the host', () => pane.model.connect());
  return pane;
}

export class HostPane {
  readonly element: HTMLElement;
  readonly model: HostModel;
  readonly #notices: Notices;
  readonly #link = element('p', { className: 'hint', attributes: { role: 'status' } });
  readonly #tabs = element('div', {
    className: 'tabs',
    attributes: { role: 'tablist', 'aria-label': 'Machines of the host' },
  });
  readonly #facts = element('p', { className: 'hint' });
  readonly #label = element('input', {
    attributes: { type: 'text', maxlength: 200, placeholder: 'what is it?' },
  });
  readonly #live = element('input', { attributes: { type: 'checkbox' } });
  readonly #save = element('button', { className: 'primary', attributes: { type: 'submit' } }, 'Save');
  readonly #bar = element('progress');
  readonly #phase = element('span', { className: 'phase', attributes: { role: 'status' } });
  readonly #work: HTMLElement;
  readonly #screenPlace = element('div');
  readonly #terminalPlace = element('div');
  readonly #rewindPlace = element('div');
  readonly #machine: HTMLElement;
  readonly #memory: HostMemory;
  #console: HostConsole | null = null;
  #screen: HostScreen | null = null;

  constructor(model: HostModel, notices: Notices) {
    this.model = model;
    this.#notices = notices;
    this.#memory = new HostMemory(model, notices);
    const controls = new HostControls(model, notices);
    const inside = new HostInside(model, notices, (address) => this.#memory.showAddress(address));
    const snapshots = new HostSnapshots(model, notices, this.#memory);
    const cancel = button('Cancel', () => model.job.value?.cancel());
    this.#work = element('div', { className: 'work' }, this.#bar, this.#phase, cancel);
    const saving = form(
      'row-form',
      () => void this.#onSave(),
      field('Label on the host', this.#label, 'field grow'),
      element(
        'label',
        { className: 'check', title: 'Let the machine run on while its memory is captured, where it can' },
        this.#live,
        'Live',
      ),
      this.#save,
    );
    this.#machine = element(
      'div',
      { className: 'saving' },
      this.#facts,
      controls.element,
      this.#screenPlace,
      this.#terminalPlace,
      new HostBells(model).element,
      saving,
      this.#work,
      this.#rewindPlace,
      snapshots.element,
      this.#memory.element,
      inside.element,
    );
    this.element = element(
      'div',
      { className: 'host saving' },
      this.#link,
      this.#tabs,
      this.#machine,
      new HostRunForm(model, notices).element,
      new HostJobs(model, notices).element,
    );
    model.state.watch((state) => this.#showLink(state));
    model.machines.watch(() => this.#showMachines());
    model.current.watch((name) => this.#openConsole(name));
    model.job.watch((job) => this.#showJob(job));
    model.remarks.watch((remark) => {
      if (remark !== null && remark.machine === model.current.value) this.#console?.remark(remark.text);
    });
    void notices.guard('Loading rewind', () => this.#addRewind());
  }

  /** In a task of its own, once the rest stands. */
  async #addRewind(): Promise<void> {
    const { HostRewind } = await import('./host-rewind.ts');
    await nextPaint();
    this.#rewindPlace.replaceWith(new HostRewind(this.model, this.#notices).element);
  }

  /** The console's terminal, for tests. */
  terminal: TerminalView | null = null;

  #may(permission: Permission): boolean {
    return this.model.machine?.permissions.includes(permission) === true;
  }

  async #onSave(): Promise<void> {
    const { machine } = this.model;
    if (machine === null) return;
    const { name } = machine;
    const report = await this.#notices.guard(`Saving ${name}`, () =>
      this.model.run(`Saving ${name}`, (job) =>
        this.model.bridge.machine(name).save({
          label: this.#label.value.trim(),
          ...(this.#live.checked ? { live: {} } : {}),
          ...job.options,
        }),
      ),
    );
    if (report === undefined) return;
    this.#label.value = '';
    const { live } = report;
    this.#notices.tell(
      `${name} is saved on the host: paused ${formatMs(report.pauseMs)}, ${formatCount(report.pagesChanged, 'page')} ` +
        `changed, ${formatBytes(report.bytesWritten)} written.` +
        (live?.mode === 'stopped' ? ` Not live: ${live.reason ?? 'it cannot be saved so'}.` : ''),
    );
  }

  #showLink(state: LinkState): void {
    this.element.classList.toggle('offline', state.kind !== 'open');
    // What is offered where there is none is known once the host is reached.
    if (this.model.machines.value.length === 0) this.#showMachines();
    this.#showMachine();
    if (state.kind === 'open') {
      const { software, subject } = this.model.bridge.host;
      this.#link.textContent = `Connected to ${software.name} ${software.version} as ${subject}.`;
      this.#reopenConsole();
    } else if (state.kind === 'closed') {
      const again = button('Connect again', () => {
        void this.#notices.guard('Connecting to the host', () => this.model.connect());
      });
      this.#link.replaceChildren(`Not connected (${state.reason.code}). `, again);
    } else if (state.kind === 'waiting') {
      const seconds = Math.max(1, Math.round(state.retryInMs / 1000));
      this.#link.textContent = `The connection was lost; trying again in ${formatCount(seconds, 'second')}. While the bridge runs, its jobs go on.`;
    } else this.#link.textContent = 'Connecting …';
  }

  #showMachines(): void {
    const machines = this.model.machines.value;
    this.#machine.hidden = machines.length === 0;
    if (machines.length === 0) {
      const { any, profiles } = this.model.offers;
      const text =
        any || profiles.length > 0
          ? 'There is no machine yet: start one below, or bring a snapshot of one as a file.'
          : 'There is no machine that you may see. Who runs the host can start one, or let you see one.';
      this.#tabs.replaceChildren(element('p', { className: 'hint' }, text));
      return;
    }
    const focused = this.#tabs.contains(document.activeElement) ? document.activeElement : null;
    const focusedName = focused?.getAttribute('data-machine');
    this.#tabs.replaceChildren(
      ...machines.map(({ name, state }) =>
        element(
          'button',
          {
            attributes: {
              type: 'button',
              role: 'tab',
              'data-machine': name,
              'aria-selected': String(name === this.model.current.value),
            },
            title: state,
            on: { click: () => this.model.current.set(name) },
          },
          `${{ running: '▶', paused: '■', stopped: '□', lost: '✕' }[state]} ${name}`,
        ),
      ),
    );
    if (focusedName != null) this.#tabOf(focusedName)?.focus();
    this.#showMachine();
    this.#reopenConsole();
  }

  #tabOf(name: string): HTMLElement | null {
    return this.#tabs.querySelector(`[data-machine="${CSS.escape(name)}"]`);
  }

  #showMachine(): void {
    const { machine } = this.model;
    if (machine === null) return;
    this.#save.textContent = `Save ${machine.name}`;
    allow(this.#save, whyNot(this.model, { permission: 'save', isUp: true }));
    this.#facts.textContent = `${machine.name} is ${machine.state}. You may ${machine.permissions.join(', ')}.`;
    void this.#describe(machine.name);
  }

  async #describe(name: string): Promise<void> {
    if (this.model.state.value.kind !== 'open') return;
    // A line of text: whoever wants to know why it is missing sees the connection's state.
    const status = await this.model.bridge
      .machine(name)
      .status()
      .catch(() => null);
    if (status?.description == null || this.model.current.value !== name) return;
    const { kind, architecture, regions } = status.description;
    const memory = regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const facts = factRows(status.facts, formatBytes).map(
      ([fact, value]) => `${fact} ${value.split(': ')[0]}`,
    );
    this.#facts.textContent = [
      `${name} is ${status.state}`,
      `${kind}, ${architecture}, ${formatBytes(memory)}`,
      // All of them are told further below.
      ...facts.slice(0, 3),
      `you may ${this.model.machine?.permissions.join(', ') ?? ''}`,
    ].join(' · ');
  }

  #openConsole(name: string | null): void {
    for (const tab of this.#tabs.querySelectorAll('[role="tab"]')) {
      tab.setAttribute('aria-selected', String(tab.getAttribute('data-machine') === name));
    }
    this.#console?.close();
    this.#console = null;
    this.terminal = null;
    this.#terminalPlace.replaceChildren();
    this.#showMachine();
    this.#openScreen();
    const { machine } = this.model;
    if (machine === null || !machine.hasConsole || !this.#may('peek')) return;
    this.#console = new HostConsole(this.model.bridge, machine.name, this.#may('admin'));
    const terminal = new TerminalView(this.#console, 16);
    const port = this.#console;
    this.terminal = terminal;
    this.#terminalPlace.append(terminal.element);
    void this.#notices.guard('Loading the terminal', () => terminal.connect(port));
  }

  #openScreen(): void {
    this.#screen?.close();
    this.#screen = null;
    this.#screenPlace.replaceChildren();
    const { machine } = this.model;
    const isUp = machine?.state === 'running' || machine?.state === 'paused';
    if (machine === null || !isUp || !machine.hasScreen || !this.#may('peek')) return;
    const screen = new HostScreen(this.model.bridge, machine.name, this.#may('admin'));
    this.#screen = screen;
    this.#screenPlace.append(screen.element);
    void this.#notices.guard('Loading the screen', () => screen.connect());
  }

  /** A console or screen that is over is opened again where the machine runs again, or the bridge is reached again. */
  #reopenConsole(): void {
    const { machine } = this.model;
    const isUp = machine?.state === 'running' || machine?.state === 'paused';
    if (isUp && machine.hasScreen && this.#screen?.isOver !== false) this.#openScreen();
    if (machine !== null && isUp && this.#console?.isOver !== false) this.#openConsole(machine.name);
  }

  #showJob(job: Job | null): void {
    this.#work.hidden = job === null;
    this.#showMachine();
    if (job === null) return;
    this.#phase.textContent = `${job.title} …`;
    job.progress.watch((progress) => {
      if (progress === null || progress.total === 0) {
        this.#bar.removeAttribute('value');
        if (progress !== null) this.#phase.textContent = `${job.title}: ${formatNumber(progress.done)}`;
        return;
      }
      this.#bar.max = progress.total;
      this.#bar.value = progress.done;
      this.#phase.textContent = `${job.title}: ${progress.phase} ${formatNumber(progress.done)} of ${formatNumber(progress.total)}`;
    });
  }
}
