// A machine's screen on a canvas, and the keyboard while the canvas has the focus. A worker draws (`screen-painter.ts`).
//
// Shift+Tab is never taken, so that the keyboard cannot be caught here.

import type { ScreenFrame } from '../guest/v86/screen-frame.ts';
import { element } from './dom.ts';
import type { OpenMachine } from './open-machine.ts';
import { scanCodesOf } from './scan-codes.ts';
import type { Painted } from './screen-painter.ts';
import type { Screens } from './screens.ts';
import { CELL } from './text-cell.ts';

/** Mark of the time at which the first guest was seen to run. */
const FIRST_FRAME = 'vitrine-first-frame';

export class ScreenView {
  readonly element: HTMLElement;
  readonly #canvas: HTMLCanvasElement;
  readonly #twin = element('pre', { className: 'visually-hidden' });
  readonly #painter: MessagePort;
  #waiting: ScreenFrame | null = null;
  #isDrawing = false;
  #isShown = true;

  constructor(machine: OpenMachine, screens: Screens) {
    const hint = `${machine.name}-screen-hint`;
    const scale = Math.min(2, Math.ceil(window.devicePixelRatio));
    this.#canvas = element('canvas', {
      attributes: {
        tabindex: 0,
        role: 'application',
        'aria-label': `Screen of ${machine.name}`,
        'aria-describedby': hint,
        width: 80 * CELL.width * scale,
        height: 25 * CELL.height * scale,
      },
      on: {
        keydown: (event) => this.#onKey(machine, event, 'press'),
        keyup: (event) => this.#onKey(machine, event, 'release'),
        pointerdown: () => this.#canvas.focus(),
      },
    });
    this.element = element(
      'div',
      { className: 'screen' },
      this.#canvas,
      this.#twin,
      element('p', { className: 'hint', id: hint }, 'Click the screen to type into it; Shift+Tab leaves it.'),
    );
    this.#painter = screens.show(this.#canvas, scale);
    this.#painter.onmessage = ({ data }: MessageEvent<Painted>) => this.#onPainted(data);
    machine.showFrames((frame) => {
      this.#waiting = frame;
      this.#drawNext();
    });
  }

  /** A screen that nobody sees is not drawn; its latest picture is when it is shown again. */
  setShown(isShown: boolean): void {
    this.#isShown = isShown;
    this.#drawNext();
  }

  #onKey(machine: OpenMachine, event: KeyboardEvent, kind: 'press' | 'release'): void {
    if (event.metaKey || (event.code === 'Tab' && event.shiftKey)) return;
    const codes = scanCodesOf(event.code, kind);
    if (codes === undefined) return;
    event.preventDefault();
    machine.sendKeys(codes);
  }

  /** One picture is on its way at a time; of those that come meanwhile the latest goes next. */
  #drawNext(): void {
    const frame = this.#waiting;
    if (frame === null || this.#isDrawing || !this.#isShown) return;
    this.#waiting = null;
    this.#isDrawing = true;
    this.#painter.postMessage(frame, buffersOf(frame));
  }

  #onPainted(painted: Painted): void {
    if (painted.kind === 'text') {
      this.#twin.textContent = painted.text;
      return;
    }
    this.#isDrawing = false;
    if (performance.getEntriesByName(FIRST_FRAME).length === 0) performance.mark(FIRST_FRAME);
    this.#drawNext();
  }
}

/** What goes over without a copy: nobody else has the frame. */
function buffersOf(frame: ScreenFrame): ArrayBuffer[] {
  if (frame.kind === 'graphics') return [frame.rgba.buffer];
  return [frame.codePoints.buffer, frame.foreground.buffer, frame.background.buffer];
}
