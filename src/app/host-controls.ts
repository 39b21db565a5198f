// What one does to the host machine on show as a whole: hold it, set a point to go back to, go back, end it, start it again.

import { button, element } from './dom.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { formatCount, formatMs } from './quantity.ts';
import { askAboutStop } from './question.ts';
import { allow, whyNot } from './why-not.ts';

const TITLES = {
  hold: 'Hold it where it is, until it is resumed',
  checkpoint: 'A point in memory to go back to; it is gone with the machine',
  reset: 'Back to the checkpoint',
  end: 'End its process; its snapshots stay',
  start: 'Start it as it was started last',
} as const;

export class HostControls {
  readonly element: HTMLElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #hold = button('Pause', () => this.#toggleHeld());
  readonly #checkpoint = button('Checkpoint', () => this.#setCheckpoint());
  readonly #reset = button('Reset', () => this.#goBack());
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
    model.state.watch(() => this.#draw());
  }

  #draw(): void {
    const { machine } = this.#model;
    this.element.hidden = machine === null;
    if (machine === null) return;
    const isUp = machine.state === 'running' || machine.state === 'paused';
    const model = this.#model;
    const isHeld = machine.state === 'paused';
    this.#hold.textContent = isHeld ? 'Resume' : 'Pause';
    allow(this.#hold, whyNot(model, { permission: 'admin', isUp: true }), isHeld ? '' : TITLES.hold);
    allow(this.#checkpoint, whyNot(model, { permission: 'restore', isUp: true }), TITLES.checkpoint);
    allow(this.#reset, whyNot(model, { permission: 'restore', isUp: true }), TITLES.reset);
    this.#end.textContent = isUp ? 'Stop' : 'Start';
    const why = whyNot(model, { permission: 'admin', isUp: false });
    allow(this.#end, why, isUp ? TITLES.end : TITLES.start);
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
      this.#model.remark(name, 'back at its checkpoint');
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
