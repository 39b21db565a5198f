// A switch beside a machine: whether its own programs may ask to be saved and put back. Off until a person turns it on, since a
// guest is a stranger and each snapshot takes room; beside it is what to type in there, and what came of the last time.

import type { ServedDoorbell, ServedRing } from '../engine/doorbell.ts';
import { element } from './dom.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { shortId } from './quantity.ts';
import type { Workspace } from './workspace.ts';

const LABEL = 'asked for by the guest';

export class AskBar {
  readonly element: HTMLElement;
  readonly #machine: OpenMachine;
  readonly #workspace: Workspace;
  readonly #notices: Notices;
  readonly #switch = element('input', { attributes: { type: 'checkbox' } });
  readonly #said = element('span', { className: 'said', attributes: { role: 'status' } });
  #served: ServedDoorbell | null = null;

  /** `words` is what a person types into the guest to ask. */
  constructor(machine: OpenMachine, words: string, workspace: Workspace, notices: Notices) {
    this.#machine = machine;
    this.#workspace = workspace;
    this.#notices = notices;
    this.#switch.addEventListener('change', () => void this.#onSwitch());
    this.element = element(
      'div',
      { className: 'asking' },
      element(
        'label',
        {
          className: 'check',
          title: 'At most one snapshot a second; none while the page itself saves or restores',
        },
        this.#switch,
        'May ask to be saved',
      ),
      element('span', { className: 'hint' }, 'by ', element('code', {}, words)),
      this.#said,
    );
    // With its engine or its worker what served it is gone.
    workspace.engine.watch((engine) => this.#setUsable(engine !== null && machine.lost.value === null));
    machine.lost.watch((reason) => this.#setUsable(reason === null && workspace.engine.value !== null));
  }

  #setUsable(isUsable: boolean): void {
    this.#switch.disabled = !isUsable;
    if (isUsable) return;
    this.#switch.checked = false;
    this.#served = null;
  }

  async #onSwitch(): Promise<void> {
    const mayAsk = this.#switch.checked;
    this.#switch.disabled = true;
    const name = this.#machine.name;
    const done = await this.#notices.guard(
      mayAsk ? `Letting ${name} ask` : `Letting ${name} ask no more`,
      async () => {
        await (mayAsk ? this.#serve() : this.#stop());
        return true;
      },
    );
    if (done === undefined) this.#switch.checked = !mayAsk;
    this.#switch.disabled = this.#machine.lost.value !== null || this.#workspace.engine.value === null;
  }

  async #serve(): Promise<void> {
    const machine = await this.#machine.joined;
    this.#served = await machine.serveDoorbell({
      keep: 'snapshot',
      save: { label: LABEL, effort: 'fast' },
      allow: () => this.#machine.job.value === null,
      onServed: (ring) => void this.#onServed(ring),
    });
    this.#said.textContent = 'It has not asked yet.';
  }

  async #stop(): Promise<void> {
    const served = this.#served;
    this.#served = null;
    await served?.stop();
    this.#said.textContent = '';
  }

  async #onServed(ring: ServedRing): Promise<void> {
    this.#said.textContent = describe(ring);
    if (ring.snapshot === null) return;
    this.#machine.settleAt(ring.snapshot);
    if (ring.answer === 'first') {
      await this.#notices.guard('Listing the snapshots', () => this.#workspace.refresh());
    }
  }
}

/** What came of it, for people. */
function describe({ request, answer, snapshot, error }: ServedRing): string {
  if (answer === 'refused') {
    if (error !== null) return `Asked to ${verbOf(request)}: failed (${error.code}).`;
    return `Asked to ${verbOf(request)}: refused, ${request === 'reset' ? 'for it was not saved before or' : 'for'} the page was busy with it.`;
  }
  return `${answer === 'first' ? 'Saved as' : 'Back at'} ${shortId(snapshot!)}, as it asked.`;
}

function verbOf(request: ServedRing['request']): string {
  return request === 'save' ? 'be saved' : 'go back';
}
