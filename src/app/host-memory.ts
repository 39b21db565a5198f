// Memory of a host machine as bytes: as it is now, all of one instant, or in a snapshot there. It is read when asked for, and
// says how long the machine rested for it; watched ones are read again and again while it runs, which costs it nothing.

import type { BridgeRange } from '../bridge/fields.ts';
import type { SnapshotInfo } from '../engine/snapshot.ts';
import { button, element, field, form, reveal } from './dom.ts';
import { HexView } from './hex-view.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { formatAddress, formatCount, formatMs, parseAddress, parseBytes } from './quantity.ts';
import { titleOf } from './snapshot-order.ts';
import { allow, whyNot } from './why-not.ts';

/** Time from one look at watched bytes to the next. The host notes each. */
const WATCH_MS = 500;

/** Where the bytes shown begin. */
type Place =
  | { readonly kind: 'address'; readonly at: number }
  | { readonly kind: 'region'; readonly region: string; readonly at: number };

export class HostMemory {
  readonly element: HTMLElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #address = element('input', {
    attributes: { type: 'text', spellcheck: 'false', autocomplete: 'off', size: 12, value: '0x1000' },
  });
  readonly #status = element('p', { className: 'hint', attributes: { role: 'status' } });
  readonly #bytes = element('input', {
    attributes: {
      type: 'text',
      spellcheck: 'false',
      autocomplete: 'off',
      size: 16,
      placeholder: 'de ad be ef',
    },
  });
  readonly #write = element('button', { attributes: { type: 'submit' } }, 'Poke');
  readonly #watch = element('input', { attributes: { type: 'checkbox' } });
  readonly #hex: HexView;
  #place: Place = { kind: 'address', at: 0x1000 };
  #snapshot: SnapshotInfo | null = null;
  #isLooking = false;
  #last: { readonly place: string; readonly bytes: Uint8Array } | null = null;

  constructor(model: HostModel, notices: Notices) {
    this.#model = model;
    this.#notices = notices;
    // Beside another column sixteen bytes with their letters do not fit.
    const columns = matchMedia('(max-width: 1500px)').matches ? 8 : 16;
    const look = (): void => void notices.guard('Reading memory', () => this.#look());
    this.#hex = new HexView(columns, (rows) => {
      this.#place = { ...this.#place, at: Math.max(0, this.#place.at + rows * columns) };
      look();
    });
    const goTo = form(
      'row-form',
      () => {
        const at = parseAddress(this.#address.value);
        this.#address.setAttribute('aria-invalid', String(at === undefined));
        if (at === undefined) return;
        this.#snapshot = null;
        this.#place = { kind: 'address', at };
        look();
      },
      field('Address, hex', this.#address),
      element('button', { attributes: { type: 'submit' } }, 'Peek'),
      button('Look again', look),
      element('label', { className: 'check' }, this.#watch, 'Watch'),
    );
    setInterval(() => void this.#lookWatching(), WATCH_MS);
    const poke = form(
      'row-form',
      () => void notices.guard('Writing memory', () => this.#poke()),
      field('Bytes to write there, hex', this.#bytes, 'field grow'),
      this.#write,
    );
    this.element = element('div', { className: 'memory' }, goTo, this.#hex.element, this.#status, poke);
    model.machines.watch(() => this.#allow());
    model.state.watch(() => this.#allow());
    this.#hex.element.hidden = true;
    model.current.watch(() => {
      this.#snapshot = null;
      this.#last = null;
      this.#hex.element.hidden = true;
      this.#status.textContent = '';
      this.#allow();
    });
  }

  #allow(): void {
    const why = whyNot(this.#model, { permission: 'admin', isUp: true });
    allow(this.#write, why, 'Write there, as its program could have done');
  }

  /** The same place in a snapshot. Throws what `peek` throws. */
  async showSnapshot(snapshot: SnapshotInfo): Promise<void> {
    this.#snapshot = snapshot;
    await this.#look();
    reveal(this.#hex.element);
  }

  /** The machine as it is now, at an address. Throws what `peek` throws. */
  async showAddress(at: number): Promise<void> {
    this.#snapshot = null;
    this.#place = { kind: 'address', at };
    await this.#look();
    reveal(this.#hex.element);
  }

  /** A place of the machine as it is now. Throws what `peek` throws. */
  async showPage(region: string, offsetBytes: number): Promise<void> {
    this.#snapshot = null;
    this.#place = { kind: 'region', region, at: offsetBytes };
    await this.#look();
    reveal(this.#hex.element);
  }

  /** Writes at the place that is shown, and looks again. */
  async #poke(): Promise<void> {
    const name = this.#model.current.value;
    const bytes = parseBytes(this.#bytes.value);
    this.#bytes.setAttribute('aria-invalid', String(bytes === undefined));
    if (name === null || bytes === undefined) return;
    const place = this.#place;
    const at =
      place.kind === 'address' ? { address: place.at } : { region: place.region, offsetBytes: place.at };
    this.#snapshot = null;
    await this.#look();
    await this.#model.bridge.machine(name).poke(at, bytes);
    await this.#look();
    this.#status.textContent = `${name}: ${formatCount(bytes.length, 'byte')} written`;
  }

  /** What fails once is not tried again and again. */
  async #lookWatching(): Promise<void> {
    const isShown = !this.#hex.element.hidden && document.visibilityState === 'visible';
    if (!this.#watch.checked || this.#isLooking || this.#snapshot !== null || !isShown) return;
    this.#isLooking = true;
    try {
      await this.#look('torn');
    } catch (error) {
      this.#watch.checked = false;
      this.#notices.error(error, 'Reading memory');
    } finally {
      this.#isLooking = false;
    }
  }

  async #look(consistency: 'instant' | 'torn' = 'instant'): Promise<void> {
    const name = this.#model.current.value;
    if (name === null) return;
    const lengthBytes = this.#hex.byteCount;
    const [asked, snapshot] = [this.#place, this.#snapshot];
    const range: BridgeRange =
      asked.kind === 'address'
        ? { address: asked.at, lengthBytes }
        : { region: asked.region, offsetBytes: asked.at, lengthBytes };
    const { bytes, from } = await this.#read(name, snapshot, range, consistency);
    // Somebody may have gone elsewhere meanwhile.
    const isStillWanted =
      this.#place === asked && this.#snapshot === snapshot && this.#model.current.value === name;
    if (bytes === undefined || !isStillWanted) return;
    this.#status.textContent = from;
    const place = `${name} ${JSON.stringify(asked)}`;
    const before = this.#last?.place === place ? this.#last.bytes : bytes;
    const marked = Uint8Array.from(bytes, (byte, index) => (byte === before[index] ? 0 : 1));
    this.#last = { place, bytes };
    this.#hex.element.hidden = false;
    // Live ones leave alone what is being typed.
    const isTyping = document.activeElement === this.#address && consistency === 'torn';
    if (!isTyping) this.#address.value = formatAddress(asked.at);
    this.#hex.show({ address: asked.at, bytes, marked });
  }

  /** Bytes, and for people what they are. */
  async #read(
    name: string,
    snapshot: SnapshotInfo | null,
    range: BridgeRange,
    consistency: 'instant' | 'torn',
  ): Promise<{ readonly bytes: Uint8Array | undefined; readonly from: string }> {
    if (snapshot !== null) {
      const [bytes] = await this.#model.bridge.peek(snapshot.id, [range]);
      return { bytes, from: `“${titleOf(snapshot)}” on the host, stored bytes` };
    }
    const peeked = await this.#model.bridge.machine(name).peek([range], { consistency });
    const how =
      peeked.consistency === 'torn'
        ? 'read while it runs, not one instant'
        : `one instant, paused ${formatMs(peeked.pauseMs)}`;
    return { bytes: peeked.bytes[0], from: `${name}, ${how}` };
  }
}
