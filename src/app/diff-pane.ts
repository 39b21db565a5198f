// What differs between two snapshots, or between a snapshot and a machine as it is now: a map of pages and a table of the
// same, both leading to the bytes.

import type { DiffReport, RegionDiff } from '../engine/diff.ts';
import type { SnapshotInfo } from '../engine/snapshot.ts';
import { button, choice, element, field, form, reveal, setOptions } from './dom.ts';
import type { PagePlace } from './memory-pane.ts';
import {
  findSource,
  keyOf,
  listSources,
  type MemorySource,
  regionsOf,
  titleOfSource,
} from './memory-source.ts';
import type { Notices } from './notices.ts';
import { PageMap } from './page-map.ts';
import { formatAddress, formatBytes, formatCount, formatNumber } from './quantity.ts';
import type { Workspace } from './workspace.ts';

/** Rows of the table that are made; the map shows all. */
const MAX_ROWS = 100;

/** Shows the bytes of a page of `to`, marked where they differ from `from`. */
export type LookAtPage = (to: MemorySource, page: PagePlace, from: MemorySource) => void;

export class DiffPane {
  readonly element: HTMLElement;
  readonly #workspace: Workspace;
  readonly #notices: Notices;
  readonly #lookAtPage: LookAtPage;
  readonly #from = choice([]);
  readonly #to = choice([]);
  readonly #run = element('button', { attributes: { type: 'submit' } }, 'Compare');
  readonly #result = element('div', { className: 'diff-result' });
  #shown: readonly MemorySource[] = [];

  constructor(workspace: Workspace, notices: Notices, lookAtPage: LookAtPage) {
    this.#workspace = workspace;
    this.#notices = notices;
    this.#lookAtPage = lookAtPage;
    const compare = form(
      'row-form',
      () => void this.#compareChosen(),
      field('From', this.#from, 'field grow'),
      field('to', this.#to, 'field grow'),
      this.#run,
    );
    this.element = element('div', { className: 'diff' }, compare, this.#result);
    workspace.machines.watch(() => this.#listSources());
    workspace.snapshots.watch(() => this.#listSources());
    // What is on show is what one means, until one says otherwise.
    workspace.current.watch((machine) => {
      if (machine !== null) this.#propose(this.#to, { kind: 'live', machine });
    });
    workspace.chosen.watch((snapshot) => {
      if (snapshot !== null) this.#propose(this.#from, { kind: 'snapshot', snapshot });
    });
  }

  /** Compares and shows. */
  async compare(from: SnapshotInfo, to: MemorySource): Promise<void> {
    this.#listSources();
    const source: MemorySource = { kind: 'snapshot', snapshot: from };
    this.#from.value = keyOf(source);
    this.#to.value = keyOf(to);
    this.#run.disabled = true;
    await this.#notices.guard('Comparing', async () => {
      const target = to.kind === 'live' ? to.machine : to.snapshot.id;
      const report = await this.#workspace.diff(from.id, target);
      await this.#show(report, source, to);
    });
    this.#run.disabled = false;
  }

  async #compareChosen(): Promise<void> {
    const from = findSource(this.#workspace, this.#from.value);
    const to = findSource(this.#workspace, this.#to.value);
    if (from?.kind === 'snapshot' && to !== undefined) await this.compare(from.snapshot, to);
  }

  async #show(report: DiffReport, from: MemorySource, to: MemorySource): Promise<void> {
    const regions = await regionsOf(this.#workspace, to);
    const parts: Node[] = [];
    for (const diff of report.regions) {
      const address = regions.find(({ name }) => name === diff.name)?.guestAddress ?? 0;
      const look = (page: number): void =>
        this.#lookAtPage(to, { region: diff.name, offsetBytes: page * diff.pageBytes }, from);
      parts.push(describeRegion(diff));
      if (diff.pagesChanged === 0) continue;
      parts.push(new PageMap(diff, { address, onChoose: look }).element, tableOf(diff, address, look));
    }
    const devices =
      to.kind === 'live'
        ? 'Device state of a running machine always differs and is not compared.'
        : `Device records that differ: ${report.devices.length === 0 ? 'none' : report.devices.join(', ')}.`;
    parts.push(element('p', { className: 'hint' }, devices));
    this.#result.replaceChildren(...parts);
    this.#shown = [from, to];
    reveal(this.#result);
  }

  #propose(select: HTMLSelectElement, source: MemorySource): void {
    this.#listSources();
    select.value = keyOf(source);
  }

  #listSources(): void {
    const sources = listSources(this.#workspace);
    const optionsOf = (list: readonly MemorySource[]) =>
      list.map((source) => ({ value: keyOf(source), title: titleOfSource(source) }));
    const snapshots = optionsOf(sources.filter(({ kind }) => kind === 'snapshot'));
    setOptions(this.#from, snapshots.length === 0 ? [{ value: '', title: 'no snapshot yet' }] : snapshots);
    setOptions(this.#to, optionsOf(sources));
    this.#from.disabled = snapshots.length === 0;
    this.#run.disabled = snapshots.length === 0;
    // What is gone is not shown any longer.
    if (this.#shown.every((source) => findSource(this.#workspace, keyOf(source)) !== undefined)) return;
    this.#shown = [];
    this.#result.replaceChildren();
  }
}

function describeRegion(diff: RegionDiff): HTMLElement {
  const share = formatBytes(diff.pagesChanged * diff.pageBytes);
  const text =
    diff.pagesChanged === 0
      ? `equal, ${formatCount(diff.pageCount, 'page')}`
      : `${formatNumber(diff.pagesChanged)} of ${formatCount(diff.pageCount, 'page')} differ (${share})`;
  return element('p', { className: 'region-line' }, element('strong', {}, diff.name), ` ${text}`);
}

function tableOf(diff: RegionDiff, address: number, look: (page: number) => void): HTMLElement {
  const rows = diff.runs.slice(0, MAX_ROWS).map(({ first, count }) =>
    element(
      'tr',
      {},
      element('td', {}, formatAddress(address + first * diff.pageBytes)),
      element('td', {}, String(first)),
      element('td', {}, String(count)),
      element(
        'td',
        {},
        button('bytes', () => look(first), { attributes: { 'aria-label': `Bytes of page ${first}` } }),
      ),
    ),
  );
  const more = diff.runs.length - rows.length;
  return element(
    'details',
    {},
    element('summary', {}, `As a table: ${formatCount(diff.runs.length, 'run')} of pages in ${diff.name}`),
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element('tr', {}, ...['address', 'first page', 'pages', ''].map((title) => element('th', {}, title))),
      ),
      element('tbody', {}, ...rows),
    ),
    ...(more > 0 ? [element('p', { className: 'hint' }, `and ${formatCount(more, 'more run')}`)] : []),
  );
}
