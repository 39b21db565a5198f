// One open machine to use: screen, terminal, run and stop, and what to do when its worker is gone.

import { AskBar } from './ask-bar.ts';
import { button, element } from './dom.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { ScreenView } from './screen-view.ts';
import type { Screens } from './screens.ts';
import { TerminalView } from './terminal-view.ts';
import type { Workspace } from './workspace.ts';

export class MachinePane {
  readonly element: HTMLElement;
  readonly terminal: TerminalView;
  readonly #screen: ScreenView | null;

  constructor(machine: OpenMachine, workspace: Workspace, notices: Notices, screens: Screens) {
    this.terminal = new TerminalView(machine, machine.entry.hasScreen ? 8 : 26);
    const running = button('Stop', () => {
      const next = !machine.isRunning.value;
      void notices.guard(`${next ? 'Running' : 'Stopping'} ${machine.name}`, () => machine.setRunning(next));
    });
    machine.isRunning.watch((isRunning) => {
      running.textContent = isRunning ? 'Stop' : 'Run';
      running.title = isRunning ? 'Hold the machine where it is' : 'Let it go on';
    });
    const close = button(
      'Close',
      () => void notices.guard(`Closing ${machine.name}`, () => workspace.close(machine)),
      { title: 'End this guest; its snapshots stay' },
    );
    const lost = element('div', { className: 'lost', attributes: { role: 'alert' } });
    const controls = element(
      'div',
      { className: 'controls' },
      element('p', { className: 'about' }, machine.entry.about),
      running,
      close,
    );
    this.element = element('div', { className: 'machine' }, lost, controls);
    const { asksBy } = machine.entry;
    if (asksBy !== undefined) this.element.append(new AskBar(machine, asksBy, workspace, notices).element);
    this.#screen = machine.entry.hasScreen ? new ScreenView(machine, screens) : null;
    if (this.#screen !== null) this.element.append(this.#screen.element);
    this.element.append(this.terminal.element);
    machine.lost.watch((reason) => {
      lost.hidden = reason === null;
      if (reason === null) return;
      running.disabled = true;
      const reopen = button('Open it again', () => void reopenAtLast(machine, workspace, notices));
      lost.replaceChildren(
        element(
          'p',
          {},
          `The worker of ${machine.name} is gone (${reason.code}: ${String(reason.data.reason)}). `,
        ),
        element('p', {}, 'What was saved is in the store; what happened since is lost.'),
        reopen,
      );
    });
    void notices.guard('Loading the terminal', () => this.terminal.connect(machine));
  }

  setShown(isShown: boolean): void {
    this.element.hidden = !isShown;
    this.#screen?.setShown(isShown);
  }
}

/** A new guest of the same name, at the snapshot where the lost one was last. */
async function reopenAtLast(machine: OpenMachine, workspace: Workspace, notices: Notices): Promise<void> {
  await notices.guard(`Opening ${machine.name} again`, async () => {
    const head = await workspace.requireEngine().head(machine.name);
    const opened = await workspace.open(machine.name);
    if (head === null) {
      notices.tell(`${machine.name} had no snapshot; it starts anew.`);
      return;
    }
    await workspace.restore(opened, head);
    notices.tell(`${machine.name} goes on from its last snapshot.`);
  });
}
