// Starting a machine on the host: its name, and what it is made of. That is a profile that the host offers; or memory, a screen and
// QEMU's own arguments, for whoever administers the host, since they are as good as a shell there.

import { choice, element, field, form, setOptions } from './dom.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { splitArguments } from './split-arguments.ts';

const MIB = 1024 * 1024;
/** No profile: what it is made of is said beside. No profile has a name like it. */
const OWN = '';

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
  readonly #title = element('summary', {}, 'Start a machine');
  readonly #profile = choice<string>([], () => this.#showFields());
  readonly #own: readonly HTMLElement[];
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
    const memory = field('Memory, MiB', this.#memory);
    const screen = element(
      'label',
      { className: 'check', title: 'A VGA adapter, whose picture is shown here' },
      this.#screen,
      'Screen',
    );
    const given = field('Arguments of QEMU', this.#arguments, 'field grow');
    this.#own = [memory, screen, given];
    const starting = form(
      'row-form',
      () => void this.#start(),
      field('Name', this.#name),
      field('Made of', this.#profile),
      memory,
      screen,
      given,
      start,
    );
    this.element = element('details', { className: 'host-run' }, this.#title, starting);
    const draw = (): void => {
      const { any, profiles } = model.offers;
      this.element.hidden = !any && profiles.length === 0;
      setOptions(this.#profile, [
        ...profiles.map((name) => ({ value: name, title: name })),
        ...(any ? [{ value: OWN, title: 'as follows' }] : []),
      ]);
      this.#showFields();
      start.disabled = model.job.value !== null;
    };
    model.machines.watch((machines) => {
      this.#title.textContent = machines.length === 0 ? 'Start a machine' : 'Start another machine';
    });
    model.state.watch(draw);
    model.job.watch(draw);
  }

  #showFields(): void {
    const isOwn = this.#profile.value === OWN;
    for (const one of this.#own) one.hidden = !isOwn;
    this.#memory.disabled = !isOwn;
  }

  async #start(): Promise<void> {
    const name = this.#name.value.trim();
    const started = await this.#notices.guard(`Starting ${name}`, async () => {
      const profile = this.#profile.value;
      if (profile !== OWN) {
        return this.#model.run(`Starting ${name}`, (job) =>
          this.#model.bridge.run({ name, profile }, job.options),
        );
      }
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
    // What had the keyboard is folded away.
    this.#title.focus();
    this.#notices.tell(`${name} runs.`);
  }
}
