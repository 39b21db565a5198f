// Starting a machine on the host: its name, its memory, a screen, and QEMU's own arguments. Shown to whoever may: arguments of QEMU
// are as good as a shell there.

import { element, field } from './dom.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { splitArguments } from './split-arguments.ts';

const MIB = 1024 * 1024;

export class HostRunForm {
  readonly element: HTMLDetailsElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #name = element('input', {
    attributes: {
      type: 'text',
      required: true,
      pattern: '[a-z0-9][a-z0-9._\\-]{0,63}',
      maxlength: 64,
      size: 12,
    },
  });
  readonly #memory = element('input', {
    attributes: { type: 'number', min: 1, max: 1_048_576, value: 128, required: true, size: 8 },
  });
  readonly #screen = element('input', { attributes: { type: 'checkbox' } });
  readonly #arguments = element('input', {
    attributes: {
      type: 'text',
      spellcheck: 'false',
      placeholder: '-kernel /images/vmlinuz -append "console=ttyS0"',
    },
  });

  constructor(model: HostModel, notices: Notices) {
    this.#model = model;
    this.#notices = notices;
    const start = element(
      'button',
      { className: 'primary', attributes: { type: 'submit' } },
      'Start machine',
    );
    const form = element(
      'form',
      {
        className: 'row-form',
        on: {
          submit: (event) => {
            event.preventDefault();
            void this.#start();
          },
        },
      },
      field('Name', this.#name),
      field('Memory, MiB', this.#memory),
      element(
        'label',
        { className: 'check', title: 'A VGA adapter, whose picture is shown here' },
        this.#screen,
        'Screen',
      ),
      field('Arguments of QEMU', this.#arguments, 'field grow'),
      start,
    );
    this.element = element(
      'details',
      { className: 'host-run' },
      element('summary', {}, 'Start another machine'),
      form,
    );
    const draw = (): void => {
      this.element.hidden = !model.mayRun;
      start.disabled = model.job.value !== null;
    };
    model.state.watch(draw);
    model.job.watch(draw);
  }

  async #start(): Promise<void> {
    const name = this.#name.value.trim();
    const started = await this.#notices.guard(`Starting ${name}`, async () => {
      const given = splitArguments(this.#arguments.value);
      const args = [...(this.#screen.checked ? ['-vga', 'std'] : []), ...given];
      const memoryBytes = Number(this.#memory.value) * MIB;
      return this.#model.run(`Starting ${name}`, (job) =>
        this.#model.bridge.run({ name, memoryBytes, arguments: args }, job.options),
      );
    });
    if (started === undefined) return;
    this.#model.current.set(name);
    this.element.open = false;
    this.#notices.tell(`${name} runs.`);
  }
}
