// What a host machine is made of and does: its memory map, what its processors hold, and what the host tells of it. Read while it
// is open, or when asked for: reading registers makes the machine rest.

import { factRows, trackingText } from '../bridge/fact-rows.ts';
import { button, element } from './dom.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { formatAddress, formatBytes } from './quantity.ts';

export class HostInside {
  readonly element: HTMLDetailsElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #look: (address: number) => Promise<void>;
  readonly #map = element('div');
  readonly #registers = element('div', { className: 'host-registers' });
  readonly #facts = element('div');
  readonly #read = button('Read registers', () => {
    void this.#notices.guard('Reading registers', () => this.#showRegisters());
  });

  /** `look` shows memory at an address. */
  constructor(model: HostModel, notices: Notices, look: (address: number) => Promise<void>) {
    this.#model = model;
    this.#notices = notices;
    this.#look = look;
    this.element = element(
      'details',
      { className: 'host-inside' },
      element('summary', {}, 'Memory map, registers, facts'),
      this.#map,
      element('div', { className: 'toolbar' }, this.#read),
      this.#registers,
      this.#facts,
    );
    this.element.addEventListener('toggle', () => this.#show());
    model.current.watch(() => {
      this.#registers.replaceChildren();
      this.#show();
    });
    model.machines.watch(() => this.#show());
  }

  #show(): void {
    const { machine } = this.#model;
    this.#read.disabled = machine === null || !machine.permissions.includes('peek');
    if (machine === null || !this.element.open) return;
    void this.#notices.guard(`Looking at ${machine.name}`, () => this.#describe(machine.name));
  }

  async #describe(name: string): Promise<void> {
    const { description, facts } = await this.#model.bridge.machine(name).status();
    if (this.#model.current.value !== name) return;
    this.#map.replaceChildren(
      table(
        'Memory map',
        ['Region', 'Kind', 'From', 'To', 'Size'],
        (description?.regions ?? []).map(({ name: region, kind, guestAddress, sizeBytes }) => [
          region,
          kind,
          guestAddress === null ? '–' : this.#link(guestAddress),
          guestAddress === null ? '–' : formatAddress(guestAddress + sizeBytes - 1),
          formatBytes(sizeBytes),
        ]),
      ),
    );
    const rows = factRows(facts, formatBytes);
    if (description !== null) rows.unshift(['tracking', trackingText(description)]);
    this.#facts.replaceChildren(table('What the host tells', ['Fact', 'Value'], rows));
  }

  async #showRegisters(): Promise<void> {
    const name = this.#model.current.value;
    if (name === null) return;
    const processors = await this.#model.bridge.machine(name).registers();
    if (this.#model.current.value !== name) return;
    this.#registers.replaceChildren(
      ...processors.map(({ processor, registers }) =>
        table(
          `Processor ${processor}`,
          ['Register', 'Value'],
          registers.map(({ name: register, value }) => [
            register,
            `0x${value.toString(16).padStart(16, '0')}`,
          ]),
        ),
      ),
    );
  }

  #link(address: number): HTMLElement {
    return button(formatAddress(address), () => {
      void this.#notices.guard('Reading memory', () => this.#look(address));
    });
  }
}

function table(
  title: string,
  heads: readonly string[],
  rows: readonly (readonly (string | Node)[])[],
): HTMLElement {
  return element(
    'table',
    { className: 'host-facts' },
    element('caption', {}, title),
    element(
      'thead',
      {},
      element('tr', {}, ...heads.map((head) => element('th', { attributes: { scope: 'col' } }, head))),
    ),
    element(
      'tbody',
      {},
      ...rows.map((row) => element('tr', {}, ...row.map((cell) => element('td', {}, cell)))),
    ),
  );
}
