// After a reload: the machines that were saved, each to be brought back where it was in one click.

import type { SnapshotInfo } from '../engine/snapshot.ts';
import { button, element } from './dom.ts';
import type { Notices } from './notices.ts';
import { formatTime } from './quantity.ts';
import { titleOf } from './snapshot-order.ts';
import type { Workspace } from './workspace.ts';

export class ResumeBar {
  readonly element = element('section', {
    className: 'resume',
    attributes: { 'aria-label': 'Resume where you were' },
  });

  constructor() {
    this.element.hidden = true;
  }

  /** Offers what the store holds; called once, when it is open. */
  async offer(workspace: Workspace, notices: Notices): Promise<void> {
    const heads = await workspace.heads();
    if (heads.length === 0) return;
    const offers = heads.map(({ machine, snapshot }) => {
      const offer = button(
        `Resume ${machine}`,
        () => {
          offer.disabled = true;
          void this.#resume(workspace, notices, machine, snapshot).then((done) => {
            offer.disabled = false;
            if (done) offer.remove();
            if (this.element.querySelector('.offer') === null) this.#hide();
          });
        },
        {
          className: 'offer primary',
          title: `“${titleOf(snapshot)}”, saved ${formatTime(snapshot.createdAtMs)}`,
        },
      );
      return offer;
    });
    const dismiss = button('✕', () => this.#hide(), {
      className: 'quiet',
      attributes: { 'aria-label': 'Dismiss' },
    });
    this.element.replaceChildren(element('p', {}, 'Go on where you were:'), ...offers, dismiss);
    this.element.hidden = false;
  }

  #hide(): void {
    this.element.hidden = true;
  }

  async #resume(
    workspace: Workspace,
    notices: Notices,
    machine: string,
    snapshot: SnapshotInfo,
  ): Promise<boolean> {
    const report = await notices.guard(`Resuming ${machine}`, async () => {
      const opened = await workspace.open(machine);
      return workspace.restore(opened, snapshot.id);
    });
    if (report === undefined) return false;
    notices.tell(`${machine} goes on from “${titleOf(snapshot)}”.`);
    return true;
  }
}
