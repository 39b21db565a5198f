// Memory as bytes: of a machine as it runs, a few times a second, or of any snapshot; alone, or against another source with
// the differing bytes marked. Live bytes are marked where they changed since the last look.

import { choice, element, field, form, reveal, setOptions } from './dom.ts';
import { catalogEntryOf } from './guests/catalog.ts';
import { HexView } from './hex-view.ts';
import {
  findSource,
  keyOf,
  listSources,
  lookAt,
  type MemorySource,
  regionsOf,
  type Sight,
  type SourceRegion,
  titleOfSource,
} from './memory-source.ts';
import type { Notices } from './notices.ts';
import { formatAddress, formatMs, parseAddress } from './quantity.ts';
import type { Workspace } from './workspace.ts';

/** How often live bytes are shown anew: those that cost the guest a rest, and those that are read as it runs. */
const REFRESH_MS = 250;
const TORN_REFRESH_MS = 100;
const BY_ADDRESS = '';
const NO_SOURCE = '';

/** Where a page begins. */
export interface PagePlace {
  readonly region: string;
  readonly offsetBytes: number;
}

export class MemoryPane {
  readonly element: HTMLElement;
  readonly #workspace: Workspace;
  readonly #notices: Notices;
  readonly #source = choice([], () => void this.#changeSource());
  readonly #against = choice([], () => void this.look());
  readonly #region = choice([], () => this.#go(this.#region.value === BY_ADDRESS ? 0x1000 : 0));
  readonly #address = element('input', {
    attributes: { type: 'text', spellcheck: 'false', autocomplete: 'off', size: 12, value: '0x1000' },
  });
  readonly #places = choice([], () => this.#goToPlace());
  readonly #live = element('input', { attributes: { type: 'checkbox', checked: true } });
  readonly #status = element('p', { className: 'hint' });
  readonly #hex: HexView;
  #regions: readonly SourceRegion[] = [];
  #at = 0x1000;
  #last: { readonly place: string; readonly bytes: Uint8Array } | null = null;
  #looking = false;
  /** How the bytes shown were read, and when. */
  #isTorn = false;
  #lookedAtMs = 0;

  constructor(workspace: Workspace, notices: Notices) {
    this.#workspace = workspace;
    this.#notices = notices;
    const columns = matchMedia('(max-width: 600px)').matches ? 8 : 16;
    this.#hex = new HexView(columns, (rows) => this.#go(Math.max(0, this.#at + rows * columns)));
    const goTo = form(
      'row-form',
      () => this.#goToTyped(),
      field('Memory of', this.#source, 'field grow'),
      field('compared with', this.#against, 'field grow'),
      field('Addresses', this.#region),
      field('Address, hex', this.#address),
      element('button', { attributes: { type: 'submit' } }, 'Go'),
      field('Places', this.#places),
      element('label', { className: 'check' }, this.#live, 'Live'),
    );
    this.element = element('div', { className: 'memory' }, goTo, this.#hex.element, this.#status);
    workspace.machines.watch(() => this.#listSources());
    workspace.snapshots.watch(() => this.#listSources());
    workspace.current.watch((machine) => {
      if (machine !== null) void this.show({ kind: 'live', machine });
    });
    setInterval(() => this.#refresh(), TORN_REFRESH_MS);
  }

  /** As `show`, and scrolls there: whoever asks for it may be at another end of the page. */
  async lookInside(source: MemorySource): Promise<void> {
    await this.show(source);
    reveal(this.element);
  }

  /** Shows a source. */
  async show(source: MemorySource, against?: MemorySource): Promise<void> {
    this.#listSources();
    this.#source.value = keyOf(source);
    this.#against.value = against === undefined ? NO_SOURCE : keyOf(against);
    await this.#changeSource();
  }

  /** Shows a page of `source` where it first differs from `against`. */
  async showDifference(source: MemorySource, page: PagePlace, against: MemorySource): Promise<void> {
    await this.show(source, against);
    const region = this.#regions.find(({ name }) => name === page.region);
    if (region === undefined) return;
    const lengthBytes = Math.min(region.pageBytes, region.sizeBytes - page.offsetBytes);
    const sights = await this.#notices.guard('Looking at memory', () =>
      Promise.all([source, against].map((one) => lookAt(this.#workspace, one, { ...page, lengthBytes }))),
    );
    const [now, then] = sights ?? [];
    const first = now?.bytes.findIndex((byte, at) => byte !== then?.bytes[at]) ?? -1;
    const row = Math.floor(Math.max(0, first) / this.#hex.columns) * this.#hex.columns;
    this.#region.value = region.guestAddress === null ? region.name : BY_ADDRESS;
    this.#go(page.offsetBytes + row + (region.guestAddress ?? 0));
    reveal(this.element);
  }

  /** Reads and shows; a failure is shown in the pane. */
  async look(): Promise<void> {
    const source = findSource(this.#workspace, this.#source.value);
    const against = findSource(this.#workspace, this.#against.value);
    if (source === undefined || this.#looking || this.#workspace.engine.value === null) return;
    const place = this.#placeOf(this.#at);
    if (place === undefined) {
      this.#show(new Uint8Array(), new Uint8Array(), 'No memory at this address.');
      return;
    }
    this.#looking = true;
    try {
      const [sight, other] = await Promise.all([
        // Two sources are compared as they were at one instant each.
        lookAt(this.#workspace, source, place, { torn: against === undefined }),
        against === undefined ? undefined : lookAt(this.#workspace, against, place),
      ]);
      const key = `${keyOf(source)} ${place.region} ${place.offsetBytes}`;
      const before = other?.bytes ?? (this.#last?.place === key ? this.#last.bytes : undefined);
      this.#last = { place: key, bytes: sight.bytes };
      const marked = sight.bytes.map((byte, at) => (before === undefined || before[at] === byte ? 0 : 1));
      this.#isTorn = sight.isTorn;
      this.#lookedAtMs = performance.now();
      const pause = describeSight(sight);
      const meaning =
        other === undefined ? '' : `, ${marked.filter((mark) => mark === 1).length} bytes differ`;
      this.#show(
        sight.bytes,
        marked,
        `${place.region} + 0x${place.offsetBytes.toString(16)}: ${pause}${meaning}`,
      );
    } catch (error) {
      this.#live.checked = false;
      this.#notices.error(error, 'Looking at memory');
    } finally {
      this.#looking = false;
    }
  }

  #show(bytes: Uint8Array, marked: Uint8Array, status: string): void {
    this.#hex.show({ address: this.#at, bytes, marked });
    if (this.#status.textContent !== status) this.#status.textContent = status;
  }

  #refresh(): void {
    const isLive = this.#source.value.startsWith('live:') && this.#live.checked;
    if (!this.#isTorn && performance.now() - this.#lookedAtMs < REFRESH_MS) return;
    if (isLive && document.visibilityState === 'visible') void this.look();
  }

  #go(at: number): void {
    this.#at = at;
    this.#address.value = `0x${formatAddress(at)}`;
    void this.look();
  }

  #goToTyped(): void {
    const at = parseAddress(this.#address.value);
    this.#address.setAttribute('aria-invalid', String(at === undefined));
    if (at === undefined) this.#status.textContent = 'An address is hexadecimal digits: 1000 or 0x1000.';
    else this.#go(at);
  }

  #goToPlace(): void {
    if (this.#places.value === '') return;
    this.#region.value = BY_ADDRESS;
    this.#go(Number(this.#places.value));
  }

  /** Where an address of the chosen kind is, as much as the view holds of it. */
  #placeOf(at: number): { region: string; offsetBytes: number; lengthBytes: number } | undefined {
    const byAddress = this.#region.value === BY_ADDRESS;
    for (const { name, guestAddress, sizeBytes } of this.#regions) {
      if (byAddress ? guestAddress === null : name !== this.#region.value) continue;
      const offsetBytes = byAddress ? at - (guestAddress ?? 0) : at;
      if (offsetBytes < 0 || offsetBytes >= sizeBytes) continue;
      const lengthBytes = Math.min(this.#hex.byteCount, sizeBytes - offsetBytes);
      return { region: name, offsetBytes, lengthBytes };
    }
    return undefined;
  }

  #listSources(): void {
    const options = listSources(this.#workspace).map((source) => ({
      value: keyOf(source),
      title: titleOfSource(source),
    }));
    const chosen = this.#source.value;
    setOptions(this.#source, [{ value: NO_SOURCE, title: 'choose …' }, ...options]);
    // A source that is gone leaves nothing chosen: no snapshot is read that nobody asked for.
    if (this.#source.value !== chosen) void this.#changeSource();
    setOptions(this.#against, [{ value: NO_SOURCE, title: 'nothing' }, ...options]);
  }

  async #changeSource(): Promise<void> {
    const source = findSource(this.#workspace, this.#source.value);
    if (source === undefined) {
      this.#regions = [];
      this.#show(new Uint8Array(), new Uint8Array(), 'Choose what to look at.');
      return;
    }
    const regions = await this.#notices.guard('Looking at memory', () => regionsOf(this.#workspace, source));
    if (regions === undefined) return;
    this.#regions = regions;
    const hasAddresses = regions.some(({ guestAddress }) => guestAddress !== null);
    setOptions(this.#region, [
      ...(hasAddresses ? [{ value: BY_ADDRESS, title: 'of the guest' }] : []),
      ...regions.map(({ name }) => ({ value: name, title: `in ${name}` })),
    ]);
    const machine = source.kind === 'live' ? source.machine.name : source.snapshot.machine;
    const places = catalogEntryOf(machine)?.places ?? [];
    setOptions(this.#places, [
      { value: '', title: 'choose …' },
      ...places.map(({ title, address }) => ({ value: String(address), title })),
    ]);
    this.#live.parentElement?.toggleAttribute('hidden', source.kind !== 'live');
    this.#places.parentElement?.toggleAttribute('hidden', places.length === 0);
    if (this.#placeOf(this.#at) === undefined) this.#go(0);
    else await this.look();
  }
}

function describeSight({ pauseMs, isTorn }: Sight): string {
  if (isTorn) return 'read while it runs, not one instant';
  return pauseMs === null ? 'stored bytes' : `one instant, guest paused ${formatMs(pauseMs)}`;
}
