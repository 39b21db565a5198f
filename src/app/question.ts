// Questions asked before something is lost. Each is a modal dialog; Escape is the answer that changes nothing.

import type { SnapshotInfo } from '../engine/snapshot.ts';
import { button, element } from './dom.ts';
import type { OpenMachine } from './open-machine.ts';
import { formatCount, formatSpan } from './quantity.ts';
import { titleOf } from './snapshot-order.ts';
import type { Workspace } from './workspace.ts';

interface Answer<Value extends string> {
  readonly value: Value;
  readonly label: string;
  readonly isPrimary?: boolean;
}

/**
 * Says what the machine would lose: its work since the last save, and the pages it changed. Counting those is work of the
 * machine: an answer waits for its end, so that what is done next does not find the machine busy.
 */
export async function askAboutRestore(
  workspace: Workspace,
  machine: OpenMachine,
  snapshot: SnapshotInfo,
): Promise<'save-first' | 'discard' | 'cancel'> {
  const base = workspace.snapshots.value.find(({ id }) => id === machine.base.value);
  const worked = formatSpan(performance.now() - machine.settledAtMs);
  const since = base === undefined ? 'since it was opened, and was not saved' : `since “${titleOf(base)}”`;
  const pages = element('p', { className: 'hint', attributes: { role: 'status' } });
  let counting = Promise.resolve();
  if (base !== undefined) {
    pages.textContent = 'Counting changed pages …';
    counting = workspace.diff(base.id, machine).then(
      ({ regions }) => {
        const changed = regions.reduce((sum, region) => sum + region.pagesChanged, 0);
        pages.textContent = `${formatCount(changed, 'page')} of its memory changed in that time.`;
      },
      () => {
        // The question stands without the figure.
        pages.textContent = '';
      },
    );
  }
  const answer = await ask(
    `Bring ${machine.name} to “${titleOf(snapshot)}”?`,
    [
      element(
        'p',
        {},
        `${machine.name} has run ${worked} ${since}. That work is lost unless it is saved first.`,
      ),
      pages,
    ],
    [
      { value: 'save-first', label: 'Save first, then restore', isPrimary: true },
      { value: 'discard', label: 'Restore without saving' },
      { value: 'cancel', label: 'Cancel' },
    ],
    'cancel',
  );
  if (answer !== 'cancel') await counting;
  return answer;
}

/** As `askAboutRestore`, of a machine of the host, whose work since its last snapshot nobody here has counted. */
export function askAboutHostRestore(
  machine: string,
  snapshot: SnapshotInfo,
): Promise<'save-first' | 'discard' | 'cancel'> {
  return ask(
    `Bring ${machine} to “${titleOf(snapshot)}”?`,
    [
      element(
        'p',
        {},
        `What ${machine} did since its last snapshot is lost unless it is saved first. Others may be using it.`,
      ),
    ],
    [
      { value: 'save-first', label: 'Save first, then restore', isPrimary: true },
      { value: 'discard', label: 'Restore without saving' },
      { value: 'cancel', label: 'Cancel' },
    ],
    'cancel',
  );
}

export function askAboutStop(machine: string): Promise<'save-first' | 'discard' | 'cancel'> {
  return ask(
    `Stop ${machine}?`,
    [
      element(
        'p',
        {},
        `What ${machine} did since its last snapshot is lost unless it is saved first. Others may be using it.`,
      ),
    ],
    [
      { value: 'save-first', label: 'Save first, then stop', isPrimary: true },
      { value: 'discard', label: 'Stop without saving' },
      { value: 'cancel', label: 'Cancel' },
    ],
    'cancel',
  );
}

/** Asked before a machine that is not recorded is taken back: nobody keeps where it was. */
export function askAboutLookingBack(machine: string): Promise<'save-first' | 'discard' | 'cancel'> {
  return ask(
    `Take ${machine} back?`,
    [
      element(
        'p',
        {},
        `It is not recorded at the moment: what ${machine} did since its last snapshot is lost unless it is saved first.`,
      ),
    ],
    [
      { value: 'save-first', label: 'Save first, then go back', isPrimary: true },
      { value: 'discard', label: 'Go back without saving' },
      { value: 'cancel', label: 'Cancel' },
    ],
    'cancel',
  );
}

/** Asked before a host forgets a machine's past. */
export async function askAboutForget(machine: string, points: number, bookmarks: number): Promise<boolean> {
  const kept =
    bookmarks === 0 ? '' : ` ${formatCount(bookmarks, 'bookmark')} of it stay${bookmarks === 1 ? 's' : ''}.`;
  const answer = await ask(
    `Forget the recent past of ${machine}?`,
    [
      element(
        'p',
        {},
        `${formatCount(points, 'point')} cannot be brought back.${kept} Other snapshots stay.`,
      ),
    ],
    [
      { value: 'forget', label: 'Forget it', isPrimary: true },
      { value: 'cancel', label: 'Cancel' },
    ],
    'cancel',
  );
  return answer === 'forget';
}

export async function askAboutDelete(snapshot: SnapshotInfo): Promise<boolean> {
  const answer = await ask(
    `Delete “${titleOf(snapshot)}”?`,
    [element('p', {}, 'It cannot be brought back. Snapshots made after it stay whole.')],
    [
      { value: 'delete', label: 'Delete', isPrimary: true },
      { value: 'cancel', label: 'Cancel' },
    ],
    'cancel',
  );
  return answer === 'delete';
}

function ask<Value extends string>(
  title: string,
  text: readonly Node[],
  answers: readonly Answer<Value>[],
  onEscape: Value,
): Promise<Value> {
  return new Promise((resolve) => {
    let chosen = onEscape;
    const heading = element('h2', { id: 'question-title' }, title);
    const dialog = element(
      'dialog',
      {
        attributes: { 'aria-labelledby': heading.id },
        on: {
          close: () => {
            dialog.remove();
            resolve(chosen);
          },
        },
      },
      heading,
      ...text,
      element(
        'div',
        { className: 'answers' },
        ...answers.map(({ value, label, isPrimary }) =>
          button(
            label,
            () => {
              chosen = value;
              dialog.close();
            },
            { className: isPrimary === true ? 'primary' : '' },
          ),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
