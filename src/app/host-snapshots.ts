// The snapshots of the host machine on show, and what can be done with the one chosen: restore, fork, compare, look inside,
// and bring it into this browser.

import { isVitrineError } from '../base/error.ts';
import type { Permission } from '../bridge/grant.ts';
import type { SnapshotInfo } from '../engine/snapshot.ts';
import { button, element, reveal } from './dom.ts';
import type { HostMemory } from './host-memory.ts';
import type { HostModel } from './host-model.ts';
import type { Notices } from './notices.ts';
import { PageMap } from './page-map.ts';
import { formatBytes, formatCount, formatMs, formatNumber, formatTime } from './quantity.ts';
import { askAboutDelete, askAboutHostRestore } from './question.ts';
import { titleOf } from './snapshot-order.ts';
import { allow, type Needs, whyNot } from './why-not.ts';

const DELETE: Needs = { permission: 'delete', isUp: false };

export class HostSnapshots {
  readonly element: HTMLElement;
  readonly #model: HostModel;
  readonly #notices: Notices;
  readonly #memory: HostMemory;
  readonly #list = element('div', {
    className: 'tree',
    attributes: { role: 'listbox', 'aria-label': 'Snapshots on the host' },
  });
  readonly #empty = element('p', { className: 'hint' }, 'No snapshot of this machine on the host yet.');
  /** Points of rewind are many, and have a line of their own. */
  readonly #withPoints = element('input', {
    attributes: { type: 'checkbox' },
    on: { change: () => this.#draw() },
  });
  readonly #pointsText = element('span');
  readonly #pointsLabel = element('label', { className: 'check' }, this.#withPoints, this.#pointsText);
  readonly #difference = element('div', { className: 'diff-result' });
  readonly #actions: { readonly made: HTMLButtonElement; readonly needs: Needs; readonly title: string }[] =
    [];
  readonly #toolbar: HTMLElement;
  #chosen: string | null = null;

  constructor(model: HostModel, notices: Notices, memory: HostMemory) {
    this.#model = model;
    this.#notices = notices;
    this.#memory = memory;
    const add = (
      label: string,
      permission: Permission,
      title: string,
      run: (chosen: SnapshotInfo) => unknown,
      { isUp = false } = {},
    ) => {
      const made = button(label, () => {
        const chosen = this.#chosenInfo;
        if (chosen !== null) void notices.guard(label, async () => void (await run(chosen)));
      });
      this.#actions.push({ made, needs: { permission, isUp }, title });
      return made;
    };
    this.#toolbar = element(
      'div',
      {
        className: 'toolbar',
        attributes: { role: 'toolbar', 'aria-label': 'The chosen snapshot on the host' },
      },
      add(
        'Restore',
        'restore',
        'Bring the machine here; you are asked about what it did since its last save',
        (chosen) => this.#restore(chosen),
        { isUp: true },
      ),
      add('Fork', 'admin', 'Start another machine that goes on from here', (chosen) => this.#fork(chosen)),
      add(
        'Compare with now',
        'peek',
        'Which pages differ from the machine as it is',
        (chosen) => this.#compare(chosen),
        { isUp: true },
      ),
      add('Look inside', 'peek', 'Its memory as bytes', (chosen) => this.#memory.showSnapshot(chosen)),
      add('Fetch', 'export', 'Bring it into this browser, to look into it without the host', (chosen) =>
        this.#fetch(chosen),
      ),
      add('Download', 'export', 'As a file, with all that it stands on', (chosen) => this.#download(chosen)),
      add('Delete', DELETE.permission, 'Remove it from the host; other snapshots stay whole', (chosen) =>
        this.#delete(chosen),
      ),
    );
    const upload = button('Upload a file …', () => void notices.guard('Uploading', () => this.#upload()), {
      title: 'Bring a snapshot out of a .vitrine file to the host',
    });
    this.element = element(
      'div',
      { className: 'snapshots' },
      this.#empty,
      this.#list,
      this.#pointsLabel,
      this.#toolbar,
      element('div', { className: 'toolbar' }, upload),
      this.#difference,
    );
    this.#list.addEventListener('keydown', (event) => this.#onKey(event));
    model.snapshots.watch(() => this.#draw());
    model.past.watch(() => this.#draw());
    model.machines.watch(() => this.#draw());
    model.job.watch(() => this.#draw());
    model.state.watch(() => this.#draw());
    model.current.watch(() => {
      this.#difference.replaceChildren();
      this.#draw();
    });
  }

  /** Snapshots that are listed, points of the recent past by the names that they were given. */
  get #shown(): readonly SnapshotInfo[] {
    const points = this.#points;
    const isListed = ({ id }: SnapshotInfo): boolean =>
      this.#withPoints.checked || points.get(id) === undefined || points.get(id)?.bookmark !== null;
    return this.#model.snapshots.value
      .filter((snapshot) => snapshot.machine === this.#model.current.value && isListed(snapshot))
      .map((snapshot) => ({ ...snapshot, label: points.get(snapshot.id)?.bookmark ?? snapshot.label }));
  }

  get #points(): ReadonlyMap<string, { readonly bookmark: string | null }> {
    const past = this.#model.past.value;
    return new Map(
      past === null || isVitrineError(past) ? [] : past.points.map((one) => [one.snapshot, one]),
    );
  }

  get #chosenInfo(): SnapshotInfo | null {
    return this.#shown.find(({ id }) => id === this.#chosen) ?? null;
  }

  async #restore(snapshot: SnapshotInfo): Promise<void> {
    const { machine: name } = snapshot;
    const answer = await askAboutHostRestore(name, snapshot);
    if (answer === 'cancel') return;
    const machine = this.#model.bridge.machine(name);
    if (answer === 'save-first') {
      const label = `before restoring ${titleOf(snapshot)}`.slice(0, 200);
      await this.#model.run(`Saving ${name}`, (job) => machine.save({ label, ...job.options }));
    }
    const report = await this.#model.run(`Restoring ${name}`, (job) =>
      machine.restore(snapshot.id, job.options),
    );
    this.#model.remark(name, `at “${titleOf(snapshot)}”`);
    this.#notices.tell(
      `${name} is at “${titleOf(snapshot)}”: ${formatCount(report.pagesWritten, 'page')} written, paused ${formatMs(report.pauseMs)}.`,
    );
  }

  async #fork(snapshot: SnapshotInfo): Promise<void> {
    const taken = new Set(this.#model.machines.value.map(({ name }) => name));
    let number = 1;
    while (taken.has(`${snapshot.machine}-fork-${number}`)) number++;
    const name = `${snapshot.machine}-fork-${number}`;
    await this.#model.run(`Forking ${name}`, (job) =>
      this.#model.bridge.fork(snapshot.id, name, job.options),
    );
    this.#model.current.set(name);
    this.#notices.tell(
      `${name} goes on from “${titleOf(snapshot)}”. Both machines hold the same random numbers and keys.`,
    );
  }

  async #compare(snapshot: SnapshotInfo): Promise<void> {
    const machine = this.#model.bridge.machine(snapshot.machine);
    const report = await this.#model.run('Comparing', () => machine.diff(snapshot.id));
    const parts: Node[] = [];
    for (const region of report.regions) {
      const text =
        region.pagesChanged === 0
          ? 'equal'
          : `${formatCount(region.pagesChanged, 'page')} of ${formatNumber(region.pageCount)} differ (${formatBytes(region.pagesChanged * region.pageBytes)})`;
      parts.push(element('p', { className: 'region-line' }, element('strong', {}, region.name), ` ${text}`));
      if (region.pagesChanged === 0) continue;
      const onChoose = (page: number): void =>
        void this.#notices.guard('Looking inside', () =>
          this.#memory.showPage(region.name, page * region.pageBytes),
        );
      parts.push(new PageMap(region, { address: 0, onChoose }).element);
    }
    this.#difference.replaceChildren(...parts);
    reveal(this.#difference);
  }

  async #fetch(snapshot: SnapshotInfo): Promise<void> {
    const report = await this.#model.pull(snapshot.id);
    this.#notices.tell(
      report.wasThere
        ? `“${titleOf(snapshot)}” is in this browser already.`
        : `“${titleOf(snapshot)}” is in this browser: ${formatCount(report.objectsSent, 'object')} of ` +
            `${formatNumber(report.objectsOffered)} sent, ${formatBytes(report.bytesSent)}.`,
    );
  }

  async #download(snapshot: SnapshotInfo): Promise<void> {
    const { downloadSnapshot } = await import('./bundle-files.ts');
    const sizeBytes = await this.#model.run('Downloading', (job) =>
      downloadSnapshot(this.#model.bridge, snapshot, job.options),
    );
    this.#notices.tell(`“${titleOf(snapshot)}” is a file of ${formatBytes(sizeBytes)}.`);
  }

  async #delete(snapshot: SnapshotInfo): Promise<void> {
    if (!(await askAboutDelete(snapshot))) return;
    await this.#model.bridge.delete([snapshot.id]);
    await this.#model.refreshSnapshots();
    this.#notices.tell(`“${titleOf(snapshot)}” is gone from the host; “vitrine gc” gives its room back.`);
  }

  async #upload(): Promise<void> {
    const { chooseFile, takeFile } = await import('./bundle-files.ts');
    const file = await chooseFile();
    if (file === null) return;
    const { snapshot, report } = await this.#model.run('Uploading', (job) =>
      takeFile(file, this.#model.bridge, job.options),
    );
    const isKnown = this.#model.machines.value.some(({ name }) => name === snapshot.machine);
    // Nothing on show is of it: a snapshot is listed with its machine.
    const start = { label: `Start ${snapshot.machine}`, run: () => void this.#startOf(snapshot) };
    this.#notices.tell(
      `“${titleOf(snapshot)}” of ${snapshot.machine} is on the host${report.wasThere ? ' already' : ''}.`,
      ...(isKnown ? [] : [start]),
    );
  }

  /** A machine of a snapshot that none of the host is of. */
  async #startOf({ id, machine }: SnapshotInfo): Promise<void> {
    await this.#notices.guard(`Starting ${machine}`, async () => {
      await this.#model.run(`Starting ${machine}`, (job) =>
        this.#model.bridge.fork(id, machine, job.options),
      );
      this.#model.current.set(machine);
    });
  }

  #draw(): void {
    const shown = this.#shown;
    const pointCount = [...this.#points.values()].filter(({ bookmark }) => bookmark === null).length;
    this.#pointsLabel.hidden = pointCount === 0;
    this.#pointsText.textContent = `Also ${formatCount(pointCount, 'point')} of rewind`;
    if (!shown.some(({ id }) => id === this.#chosen)) this.#chosen = shown.at(-1)?.id ?? null;
    const base = this.#model.machine?.base;
    this.#empty.hidden = shown.length > 0;
    this.#list.hidden = shown.length === 0;
    const hadFocus = this.#list.contains(document.activeElement);
    this.#list.replaceChildren(
      ...shown.map((snapshot) => {
        const isChosen = snapshot.id === this.#chosen;
        return element(
          'div',
          {
            className: 'item',
            attributes: {
              role: 'option',
              'aria-selected': String(isChosen),
              tabindex: isChosen ? 0 : -1,
              'data-snapshot': snapshot.id,
            },
            on: { click: () => this.#choose(snapshot.id) },
          },
          element('div', { className: 'item-title' }, titleOf(snapshot)),
          ...(snapshot.id === base
            ? [element('span', { className: 'here' }, `● ${snapshot.machine} is here`)]
            : []),
          element(
            'div',
            { className: 'item-facts' },
            [
              formatTime(snapshot.createdAtMs),
              `${formatBytes(snapshot.statistics.bytesWritten)} of ${formatBytes(snapshot.memoryBytes)}`,
              formatCount(snapshot.statistics.pagesChanged, 'page'),
              `paused ${formatMs(snapshot.statistics.pauseMs)}`,
            ].join(' · '),
          ),
        );
      }),
    );
    if (hadFocus) this.#list.querySelector<HTMLElement>('[aria-selected="true"]')?.focus();
    for (const { made, needs, title } of this.#actions) {
      const why = this.#chosen === null ? 'There is no snapshot.' : whyNot(this.#model, needs);
      allow(made, why, title);
    }
  }

  #choose(id: string): void {
    this.#chosen = id;
    this.#draw();
    this.#list.querySelector<HTMLElement>('[aria-selected="true"]')?.focus();
  }

  #onKey(event: KeyboardEvent): void {
    const chosen = this.#chosenInfo;
    if (event.key === 'Delete' && chosen !== null && whyNot(this.#model, DELETE) === null) {
      event.preventDefault();
      void this.#notices.guard('Delete', () => this.#delete(chosen));
      return;
    }
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    const shown = this.#shown;
    const next = shown[shown.findIndex(({ id }) => id === this.#chosen) + step];
    if (step === 0 || next === undefined) return;
    event.preventDefault();
    this.#choose(next.id);
  }
}
