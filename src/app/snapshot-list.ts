// The snapshots of the store as a tree, and what can be done with the one chosen.

import type { SnapshotInfo } from '../engine/snapshot.ts';
import { button, element } from './dom.ts';
import { areKin, catalogEntryOf } from './guests/catalog.ts';
import { keepFocus } from './keep-focus.ts';
import type { Notices } from './notices.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatBytes, formatCount, formatTime, shortId } from './quantity.ts';
import { askAboutDelete, askAboutRestore } from './question.ts';
import { orderSnapshots, type PlacedSnapshot, titleOf } from './snapshot-order.ts';
import { allow } from './why-not.ts';
import type { Workspace } from './workspace.ts';

/** What the list asks of its neighbours. */
export interface SnapshotActions {
  readonly compareWithNow: (snapshot: SnapshotInfo, machine: OpenMachine) => void;
  readonly compareWithParent: (snapshot: SnapshotInfo) => void;
  readonly lookInside: (snapshot: SnapshotInfo) => void;
}

/** Why something cannot be done with the chosen snapshot; null where it can. */
type WhyNot = (chosen: SnapshotInfo) => string | null;

interface Action {
  readonly made: HTMLButtonElement;
  readonly title: string;
  readonly whyNot: WhyNot;
}

export class SnapshotList {
  readonly element: HTMLElement;
  readonly #workspace: Workspace;
  readonly #notices: Notices;
  readonly #tree = element('div', {
    className: 'tree',
    attributes: { role: 'tree', 'aria-label': 'Snapshots' },
  });
  readonly #empty = element('p', { className: 'hint' }, 'Nothing is saved yet.');
  readonly #actions: Action[] = [];
  readonly #whyApart: WhyNot = (chosen) => whyNotOf(this.#workspace.current.value, chosen);
  readonly #restoring: HTMLButtonElement;
  #isReplaying = false;
  readonly #toolbar: HTMLElement;
  readonly #watched = new WeakSet<OpenMachine>();
  #drawing = false;

  constructor(workspace: Workspace, notices: Notices, actions: SnapshotActions) {
    this.#workspace = workspace;
    this.#notices = notices;
    this.#restoring = this.#makeAction(
      'Restore',
      'Bring the machine on show here',
      (chosen) => void this.restore(chosen),
      this.#whyApart,
    );
    this.#toolbar = this.#makeToolbar(actions);
    const open = button('Open a file …', () => void this.#takeFile(), {
      title: 'Bring a snapshot out of a .vitrine file into this browser',
    });
    const files = element('div', { className: 'toolbar' }, open);
    this.element = element('div', { className: 'snapshots' }, this.#empty, this.#tree, this.#toolbar, files);
    this.#tree.addEventListener('keydown', (event) => this.#onKey(event));
    workspace.snapshots.watch(() => this.#drawSoon());
    workspace.chosen.watch(() => this.#drawSoon());
    workspace.current.watch(() => this.#drawSoon());
    workspace.machines.watch((machines) => {
      for (const machine of machines) this.#watch(machine);
      this.#drawSoon();
    });
  }

  /** Asks, and brings the machine on show to a snapshot. */
  async restore(snapshot: SnapshotInfo): Promise<void> {
    const machine = this.#workspace.current.value;
    if (machine === null) return;
    // While changed pages are counted for the question, what was used is greyed out, and cannot have it back from the dialog.
    const giveBackFocus = keepFocus();
    const answer = await askAboutRestore(this.#workspace, machine, snapshot);
    if (answer === 'cancel') return giveBackFocus();
    await this.#notices.guard(`Restoring ${machine.name}`, async () => {
      const before =
        answer === 'save-first'
          ? (
              await this.#workspace.save(
                machine,
                `before restoring ${titleOf(snapshot)}`.slice(0, 200),
                'fast',
              )
            ).snapshot
          : null;
      const report = await this.#workspace.restore(machine, snapshot.id);
      this.#workspace.chosen.set(snapshot);
      const undo = before === null ? [] : [{ label: 'Undo', run: () => void this.#undo(machine, before) }];
      this.#notices.tell(
        `${machine.name} is at “${titleOf(snapshot)}”: ${formatCount(report.pagesWritten, 'page')} written, ` +
          `guest paused ${report.pauseMs.toFixed(1)} ms.`,
        ...undo,
      );
    });
    await giveBackFocus();
  }

  async #undo(machine: OpenMachine, before: SnapshotInfo): Promise<void> {
    await this.#notices.guard(`Undoing the restore of ${machine.name}`, async () => {
      await this.#workspace.restore(machine, before.id);
      this.#notices.tell(`${machine.name} is back at “${titleOf(before)}”.`);
    });
  }

  #makeAction(
    label: string,
    title: string,
    run: (chosen: SnapshotInfo) => void,
    whyNot: WhyNot = () => null,
  ): HTMLButtonElement {
    const made = button(label, () => {
      const chosen = this.#workspace.chosen.value;
      if (chosen !== null) run(chosen);
    });
    this.#actions.push({ made, title, whyNot });
    return made;
  }

  #makeToolbar(actions: SnapshotActions): HTMLElement {
    return element(
      'div',
      { className: 'toolbar', attributes: { role: 'toolbar', 'aria-label': 'The chosen snapshot' } },
      this.#restoring,
      this.#makeAction(
        'Fork',
        'Open a second guest that goes on from here',
        (chosen) => void this.#fork(chosen),
      ),
      this.#makeAction(
        'Compare with now',
        'Which pages differ from the machine on show',
        (chosen) => {
          const machine = this.#workspace.current.value;
          if (machine !== null) actions.compareWithNow(chosen, machine);
        },
        this.#whyApart,
      ),
      this.#makeAction(
        'Compare with parent',
        'Which pages this snapshot changed',
        actions.compareWithParent,
        ({ parent }) => {
          if (parent === null) return 'It was made after no other one.';
          const isThere = this.#workspace.snapshots.value.some(({ id }) => id === parent);
          return isThere ? null : 'The one before it is deleted.';
        },
      ),
      this.#makeAction('Look inside', 'Its memory as bytes', actions.lookInside),
      this.#makeAction('Verify', 'Read and prove every byte of it', (chosen) => void this.#verify(chosen)),
      this.#makeAction(
        'Step from here',
        'Open a machine here that can be gone back and forth over, an instruction at a time',
        (chosen) => void this.#step(chosen),
        ({ machine }) =>
          catalogEntryOf(machine)?.steps === undefined ? 'Its guest does not go by single steps.' : null,
      ),
      this.#makeAction(
        'Verify by replay',
        'Run on from it twice, in a machine of its own, and compare all that the machine holds',
        (chosen) => void this.#verifyByReplay(chosen),
        ({ machine }) => {
          if (this.#isReplaying) return 'A replay is under way.';
          return catalogEntryOf(machine)?.canReplay === true
            ? null
            : 'Its guest does not run alike each time.';
        },
      ),
      this.#makeAction(
        'Download',
        'As a file, with all that it stands on',
        (chosen) => void this.#download(chosen),
      ),
      this.#makeAction(
        'Delete',
        'Remove it; other snapshots stay whole',
        (chosen) => void this.#delete(chosen),
      ),
    );
  }

  async #fork(snapshot: SnapshotInfo): Promise<void> {
    const fork = await this.#notices.guard('Forking', () => this.#workspace.fork(snapshot));
    if (fork !== undefined) this.#notices.tell(`${fork.name} goes on from “${titleOf(snapshot)}”.`);
  }

  async #step(snapshot: SnapshotInfo): Promise<void> {
    const machine = await this.#notices.guard('Opening for steps', () => this.#workspace.openSteps(snapshot));
    if (machine === undefined) return;
    this.#notices.tell(
      `${machine.name} is at “${titleOf(snapshot)}”: its panel “Steps” goes back and forth.`,
    );
  }

  async #verify(snapshot: SnapshotInfo): Promise<void> {
    const title = titleOf(snapshot);
    await this.#notices.guard('Verifying', async () => {
      const { objectsRead, damaged } = await this.#workspace.requireEngine().verify(snapshot.id);
      if (damaged.length === 0) {
        this.#notices.tell(`“${title}” is whole: ${formatCount(objectsRead, 'object')} read and proven.`);
        return;
      }
      const list = damaged
        .slice(0, 5)
        .map(({ where, object, code }) => `${where} ${shortId(object)} ${code}`);
      this.#notices.error(
        `${formatCount(damaged.length, 'object')} damaged: ${list.join('; ')}`,
        `“${title}”`,
      );
    });
  }

  async #verifyByReplay(snapshot: SnapshotInfo): Promise<void> {
    const title = titleOf(snapshot);
    this.#isReplaying = true;
    this.#drawSoon();
    await this.#notices.guard('Verifying by replay', async () => {
      const { steps, difference } = await this.#workspace.verifyByReplay(snapshot);
      if (difference === null) {
        this.#notices.tell(
          `“${title}” runs on alike: twice ${formatCount(steps, 'step')}, all that the machine holds compared.`,
        );
        return;
      }
      const when =
        difference.stage === 'restore' ? 'right after the restore' : `within ${formatCount(steps, 'step')}`;
      this.#notices.error(`it differs ${when}: ${difference.where}`, `“${title}”`);
    });
    this.#isReplaying = false;
    this.#drawSoon();
  }

  async #download(snapshot: SnapshotInfo): Promise<void> {
    await this.#notices.guard('Downloading', async () => {
      const { downloadSnapshot } = await import('./bundle-files.ts');
      const sizeBytes = await downloadSnapshot(this.#workspace.requireEngine(), snapshot, {});
      this.#notices.tell(`“${titleOf(snapshot)}” is a file of ${formatBytes(sizeBytes)}.`);
    });
  }

  async #takeFile(): Promise<void> {
    await this.#notices.guard('Opening the file', async () => {
      const { chooseFile, takeFile } = await import('./bundle-files.ts');
      const file = await chooseFile();
      if (file === null) return;
      const { snapshot, report } = await takeFile(file, this.#workspace.requireEngine(), {});
      await this.#workspace.refresh();
      this.#workspace.chosen.set(
        this.#workspace.snapshots.value.find(({ id }) => id === snapshot.id) ?? null,
      );
      const how = report.wasThere ? 'is in this browser already' : 'is in this browser';
      this.#notices.tell(`“${titleOf(snapshot)}” of ${snapshot.machine} ${how}.`);
    });
  }

  async #delete(snapshot: SnapshotInfo): Promise<void> {
    if (!(await askAboutDelete(snapshot))) return;
    await this.#notices.guard('Deleting', () => this.#workspace.delete(snapshot.id));
  }

  #watch(machine: OpenMachine): void {
    if (this.#watched.has(machine)) return;
    this.#watched.add(machine);
    machine.base.watch(() => this.#drawSoon());
    machine.job.watch(() => this.#drawSoon());
    machine.lost.watch(() => this.#drawSoon());
  }

  /** Several things change at once; the tree is drawn once for them. */
  #drawSoon(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw(): void {
    const { snapshots, chosen, current, machines } = this.#workspace;
    const hadFocus = this.#tree.contains(document.activeElement);
    const placed = orderSnapshots(snapshots.value);
    const tabStop = placed.find(({ snapshot }) => snapshot.id === chosen.value?.id) ?? placed.at(-1);
    const items = placed.map((one) => this.#drawItem(one, machines.value, one === tabStop));
    this.#tree.replaceChildren(...items);
    this.#tree.hidden = placed.length === 0;
    this.#empty.hidden = placed.length > 0;
    const selected = this.#tree.querySelector<HTMLElement>('[aria-selected="true"]');
    if (hadFocus) selected?.focus();
    else selected?.scrollIntoView({ block: 'nearest' });
    this.#enableToolbar(chosen.value, current.value);
  }

  #drawItem(
    { snapshot, level, parent }: PlacedSnapshot,
    machines: readonly OpenMachine[],
    isTabStop: boolean,
  ) {
    const isChosen = snapshot.id === this.#workspace.chosen.value?.id;
    const here = machines.filter((machine) => machine.base.value === snapshot.id);
    const from =
      snapshot.parent === null
        ? 'first'
        : `after ${parent === null ? `${shortId(snapshot.parent)}, deleted` : titleOf(parent)}`;
    const item = element(
      'div',
      {
        className: 'item',
        attributes: {
          role: 'treeitem',
          'aria-level': level + 1,
          'aria-selected': isChosen,
          tabindex: isTabStop ? 0 : -1,
          'data-snapshot': snapshot.id,
        },
        on: { click: () => this.#choose(snapshot), dblclick: () => void this.restore(snapshot) },
      },
      element('div', { className: 'item-title' }, titleOf(snapshot)),
      ...here.map(({ name }) => element('span', { className: 'here' }, `● ${name} is here`)),
      element(
        'div',
        { className: 'item-facts' },
        [
          formatTime(snapshot.createdAtMs),
          snapshot.machine,
          `${formatBytes(snapshot.statistics.bytesWritten)} of ${formatBytes(snapshot.memoryBytes)}`,
          formatCount(snapshot.statistics.pagesChanged, 'page'),
          from,
        ].join(' · '),
      ),
    );
    item.setAttribute('aria-selected', String(isChosen));
    item.style.setProperty('--level', String(Math.min(level, 6)));
    return item;
  }

  #choose(snapshot: SnapshotInfo): void {
    this.#workspace.chosen.set(snapshot);
    queueMicrotask(() => this.#tree.querySelector<HTMLElement>('[aria-selected="true"]')?.focus());
  }

  /** What is greyed out says why where the pointer rests. */
  #enableToolbar(chosen: SnapshotInfo | null, machine: OpenMachine | null): void {
    this.#restoring.textContent = machine === null ? 'Restore' : `Restore ${machine.name}`;
    for (const { made, title, whyNot } of this.#actions)
      allow(made, chosen === null ? 'Choose a snapshot first.' : whyNot(chosen), title);
  }

  #onKey(event: KeyboardEvent): void {
    const placed = orderSnapshots(this.#workspace.snapshots.value);
    const at = placed.findIndex(({ snapshot }) => snapshot.id === this.#workspace.chosen.value?.id);
    const places: Readonly<Record<string, number>> = {
      ArrowUp: at < 0 ? placed.length - 1 : Math.max(0, at - 1),
      ArrowDown: at < 0 ? 0 : Math.min(placed.length - 1, at + 1),
      Home: 0,
      End: placed.length - 1,
    };
    const next = places[event.key];
    const chosen = placed[next ?? at]?.snapshot;
    if (chosen === undefined) return;
    if (next !== undefined) this.#choose(chosen);
    else if (event.key === 'Enter') void this.restore(chosen);
    else if (event.key === 'Delete') void this.#delete(chosen);
    else return;
    event.preventDefault();
  }
}

/** Why the machine on show has nothing to do with a snapshot at the moment; null where it has. */
function whyNotOf(machine: OpenMachine | null, snapshot: SnapshotInfo): string | null {
  if (machine === null) return 'No machine is open.';
  if (!areKin(catalogEntryOf(snapshot.machine), machine.entry))
    return 'The machine on show is of another kind.';
  if (machine.lost.value !== null) return `${machine.name} is gone: open it again.`;
  return machine.job.value === null ? null : `${machine.name} is busy.`;
}
