// What one does to the host machine on show as a whole: hold it, set a point to go back to, go back, end it, start it again.

import type { Permission } from '../bridge/grant.ts';
import { button, element } from './dom.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { formatCount, formatMs } from './quantity.ts';
import { askAboutStop } from './question.ts';

export class HostControls {
  readonly element: HTMLElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #hold = button('Pause', () => this.#toggleHeld());
  readonly #checkpoint = button('Checkpoint', () => this.#setCheckpoint(), {
    title: 'A point in memory to go back to; it is gone with the machine',
  });
  readonly #reset = button('Reset', () => this.#goBack(), { title: 'Back to the checkpoint' });
  readonly #end = button('Stop', () => this.#endOrStart());

  constructor(model: HostModel, notices: Notices) {
    this.#model = model;
    this.#notices = notices;
    this.element = element(
      'div',
      { className: 'toolbar', attributes: { role: 'toolbar', 'aria-label': 'The machine of the host' } },
      this.#hold,
      this.#checkpoint,
      this.#reset,
      this.#end,
    );
    model.machines.watch(() => this.#draw());
    model.current.watch(() => this.#draw());
    model.job.watch(() => this.#draw());
  }

  #draw(): void {
    const { machine } = this.#model;
    this.element.hidden = machine === null;
    if (machine === null) return;
    const isFree = this.#model.job.value === null;
    const isUp = machine.state === 'running' || machine.state === 'paused';
    const may = (permission: Permission): boolean => isFree && machine.permissions.includes(permission);
    this.#hold.textContent = machine.state === 'paused' ? 'Resume' : 'Pause';
    this.#hold.disabled = !isUp || !may('admin');
    this.#checkpoint.disabled = !isUp || !may('restore');
    this.#reset.disabled = !isUp || !may('restore');
    this.#end.textContent = isUp ? 'Stop' : 'Start';
    this.#end.title = isUp ? 'End its process; its snapshots stay' : 'Start it as it was started last';
    this.#end.disabled = !may('admin');
  }

  #toggleHeld(): void {
    this.#with('Holding', async (name) => {
      const remote = this.#model.bridge.machine(name);
      await (this.#model.machine?.state === 'paused' ? remote.resume() : remote.pause());
      await this.#model.refresh();
    });
  }

  #setCheckpoint(): void {
    this.#with('Setting a checkpoint of', async (name) => {
      const { pauseMs } = await this.#model.bridge.machine(name).checkpoint();
      this.#notices.tell(`${name} has a checkpoint to go back to: paused ${formatMs(pauseMs)}.`);
    });
  }

  #goBack(): void {
    this.#with('Resetting', async (name) => {
      const { pagesWritten } = await this.#model.bridge.machine(name).reset();
      this.#notices.tell(`${name} is back at its checkpoint: ${formatCount(pagesWritten, 'page')} written.`);
    });
  }

  #endOrStart(): void {
    const { state } = this.#model.machine ?? {};
    if (state === 'stopped' || state === 'lost') {
      this.#with('Starting', async (name) => {
        await this.#model.run(`Starting ${name}`, (job) => this.#model.bridge.run({ name }, job.options));
        this.#notices.tell(`${name} was started, as if it had been switched on.`);
      });
      return;
    }
    this.#with('Stopping', async (name) => {
      const answer = await askAboutStop(name);
      if (answer === 'cancel') return;
      const remote = this.#model.bridge.machine(name);
      if (answer === 'save-first') {
        await this.#model.run(`Saving ${name}`, (job) =>
          remote.save({ label: 'before it was stopped', ...job.options }),
        );
      }
      await remote.stop();
      await this.#model.refresh();
      this.#notices.tell(`${name} was stopped. Its snapshots stay.`);
    });
  }

  #with(what: string, work: (name: string) => Promise<void>): void {
    const { machine } = this.#model;
    if (machine !== null) void this.#notices.guard(`${what} ${machine.name}`, () => work(machine.name));
  }
}
