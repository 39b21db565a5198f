// A host machine's picture, and its keyboard and pointer where the session may use them. noVNC is loaded when the first one is
// shown. Whoever may look alone gets no keyboard here, and the bridge passes over what such a viewer sends all the same.

import type RFB from '@novnc/novnc';
import { isVitrineError } from '../base/error.ts';
import type { BridgeClient } from '../bridge/bridge-client.ts';
import { button, element } from './dom.ts';
import { ScreenChannel } from './screen-channel.ts';

export class HostScreen {
  readonly element: HTMLElement;
  readonly name: string;
  readonly #bridge: BridgeClient;
  readonly #input: boolean;
  readonly #place: HTMLElement;
  readonly #status = element('span', { className: 'hint', attributes: { role: 'status' } }, 'Loading …');
  readonly #keys: HTMLButtonElement;
  #viewer: RFB | null = null;
  #isClosed = false;
  #isOver = false;

  /** `input` says whether the session may type. */
  constructor(bridge: BridgeClient, name: string, input: boolean) {
    this.#bridge = bridge;
    this.name = name;
    this.#input = input;
    this.#place = element('div', {
      className: 'host-screen',
      attributes: { role: 'group', 'aria-label': `Screen of ${name}` },
    });
    this.#keys = button('Ctrl+Alt+Del', () => this.#viewer?.sendCtrlAltDel());
    this.#keys.hidden = !input;
    this.element = element(
      'div',
      { className: 'host-screen-pane' },
      this.#place,
      element('div', { className: 'toolbar' }, this.#keys, this.#status),
    );
    // Every key is the machine's while the picture has the keyboard; this one gives it back, as in the terminal.
    this.#place.addEventListener(
      'keydown',
      (event) => {
        if (event.key !== 'Tab' || !event.shiftKey) return;
        event.preventDefault();
        event.stopPropagation();
        this.#viewer?.blur();
        this.#keys.focus();
      },
      { capture: true },
    );
  }

  /** Loads noVNC and connects. Throws when its code cannot be loaded. */
  async connect(): Promise<void> {
    const { default: Viewer } = await import('@novnc/novnc');
    if (this.#isClosed) return;
    const channel = new ScreenChannel(this.#bridge.machine(this.name), { input: this.#input });
    const viewer = new Viewer(this.#place, channel);
    viewer.viewOnly = !this.#input;
    viewer.scaleViewport = true;
    viewer.background = 'transparent';
    this.#viewer = viewer;
    viewer.addEventListener('connect', () => {
      const how = this.#input ? 'Click it to type; Shift+Tab gives the keyboard back.' : 'You may look.';
      this.#status.textContent = `Screen of ${this.name}. ${how}`;
    });
    channel.closed.then(
      () => this.#end('The screen is off: the machine ended.'),
      (error: unknown) =>
        this.#end(`The screen is off (${isVitrineError(error) ? error.code : String(error)}).`),
    );
  }

  /** Whether nothing more will come. */
  get isOver(): boolean {
    return this.#isOver;
  }

  close(): void {
    this.#isClosed = true;
    this.#viewer?.disconnect();
    this.#end('');
  }

  #end(text: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#viewer = null;
    this.#keys.disabled = true;
    this.#status.textContent = text;
  }
}
