// What the page tells its user: that something was done, or that it failed, with the code, what it means and what to do.
// Nothing is swallowed: errors that nobody caught come here too.

import { ERRORS, isVitrineError } from '../base/error.ts';
import { button, element } from './dom.ts';
import { keepFocus } from './keep-focus.ts';

const MAX_SHOWN = 4;

export interface NoticeAction {
  readonly label: string;
  readonly run: () => void;
}

export class Notices {
  readonly element = element('section', { className: 'notices', attributes: { 'aria-label': 'Notices' } });
  /** Every error reported since the page was opened, newest last. */
  readonly errors: unknown[] = [];

  /** Takes errors that no code caught. */
  catchUncaught(): void {
    window.addEventListener('error', (event) => {
      // A benign report of the platform: an observer's turn came a frame later.
      if (event.message.startsWith('ResizeObserver loop')) return;
      this.error(event.error ?? event.message, 'The page failed');
    });
    window.addEventListener('unhandledrejection', (event) => this.error(event.reason, 'The page failed'));
  }

  /** Says what was done. It takes the place of the last such notice, unless that offers something. */
  tell(text: string, ...actions: readonly NoticeAction[]): void {
    for (const old of this.element.querySelectorAll('.notice.info:not(.offering)')) old.remove();
    this.#show('info', [element('p', {}, text)], actions);
  }

  /** Shows a failure. `what` says what was being done, as a sentence's beginning: `Saving pulse`. */
  error(error: unknown, what: string, ...actions: readonly NoticeAction[]): void {
    this.errors.push(error);
    if (this.errors.length > 100) this.errors.shift();
    this.#show('error', describe(error, what), actions);
  }

  /**
   * Runs `work` and shows its failure; resolves with undefined then. A cancelled work is told, not an error. What was used for it has
   * the keyboard again afterwards.
   */
  async guard<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    const giveBackFocus = keepFocus();
    try {
      return await work();
    } catch (error) {
      if (isVitrineError(error, 'aborted')) this.tell(`${what} was cancelled; nothing was changed.`);
      else this.error(error, what);
      return undefined;
    } finally {
      void giveBackFocus();
    }
  }

  #show(kind: 'info' | 'error', content: readonly Node[], actions: readonly NoticeAction[]): void {
    const notice = element('div', {
      className: `notice ${kind}${actions.length > 0 ? ' offering' : ''}`,
      attributes: { role: kind === 'error' ? 'alert' : 'status' },
    });
    const buttons = actions.map(({ label, run }) =>
      button(label, () => {
        notice.remove();
        run();
      }),
    );
    const dismiss = button('✕', () => notice.remove(), {
      className: 'quiet',
      attributes: { 'aria-label': 'Dismiss' },
    });
    notice.append(element('div', { className: 'notice-text' }, ...content), ...buttons, dismiss);
    this.element.prepend(notice);
    while (this.element.childElementCount > MAX_SHOWN) this.element.lastElementChild?.remove();
  }
}

function describe(error: unknown, what: string): Node[] {
  const parts: Node[] = [];
  if (isVitrineError(error)) {
    const { meaning, remedy } = ERRORS[error.code];
    parts.push(
      element(
        'p',
        {},
        `${what}: `,
        element('code', {}, error.code),
        ` — ${meaning} `,
        element('em', {}, remedy),
      ),
    );
    const fields = Object.entries(error.data).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    if (fields.length > 0) parts.push(element('p', { className: 'detail' }, fields.join(', ')));
  } else {
    parts.push(element('p', {}, `${what}: ${String(error)}`));
  }
  for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
    parts.push(element('p', { className: 'detail' }, `cause: ${String(cause)}`));
  }
  return parts;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined && error.cause !== null
    ? error.cause
    : undefined;
}
