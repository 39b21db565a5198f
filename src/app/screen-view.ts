// A machine's screen on a canvas, and the keyboard while the canvas has the focus.
//
// Only cells that changed are drawn: a whole screen of text takes a few milliseconds, and frames may come sixty times a
// second. Shift+Tab is never taken, so that the keyboard cannot be caught here.

import { linesOf, type ScreenFrame, type TextFrame } from '../guest/v86/screen-frame.ts';
import { element } from './dom.ts';
import type { OpenMachine } from './open-machine.ts';
import { scanCodesOf } from './scan-codes.ts';

/** Pixels of a VGA text cell. */
const CELL_WIDTH = 9;
const CELL_HEIGHT = 16;
/** How often a screen reader's twin of the screen follows it. */
const TWIN_MS = 1000;

/** Mark of the time at which the first guest was seen to run. */
const FIRST_FRAME = 'vitrine-first-frame';

export class ScreenView {
  readonly element: HTMLElement;
  readonly #canvas: HTMLCanvasElement;
  readonly #twin = element('pre', { className: 'visually-hidden' });
  readonly #scale = Math.min(2, Math.ceil(window.devicePixelRatio));
  #shown: TextFrame | null = null;
  #waiting: ScreenFrame | null = null;
  #isDue = false;
  #isShown = true;
  #twinTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(machine: OpenMachine) {
    const hint = `${machine.name}-screen-hint`;
    this.#canvas = element('canvas', {
      attributes: {
        tabindex: 0,
        role: 'application',
        'aria-label': `Screen of ${machine.name}`,
        'aria-describedby': hint,
      },
      on: {
        keydown: (event) => this.#onKey(machine, event, 'press'),
        keyup: (event) => this.#onKey(machine, event, 'release'),
        pointerdown: () => this.#canvas.focus(),
      },
    });
    this.#canvas.width = 80 * CELL_WIDTH * this.#scale;
    this.#canvas.height = 25 * CELL_HEIGHT * this.#scale;
    this.element = element(
      'div',
      { className: 'screen' },
      this.#canvas,
      this.#twin,
      element('p', { className: 'hint', id: hint }, 'Click the screen to type into it; Shift+Tab leaves it.'),
    );
    machine.frame.watch((frame) => {
      if (frame !== null) this.#take(frame);
    });
  }

  /** A screen that nobody sees is not drawn; its latest picture is when it is shown again. */
  setShown(isShown: boolean): void {
    this.#isShown = isShown;
    if (isShown && this.#waiting !== null) this.#drawSoon();
  }

  #onKey(machine: OpenMachine, event: KeyboardEvent, kind: 'press' | 'release'): void {
    if (event.metaKey || (event.code === 'Tab' && event.shiftKey)) return;
    const codes = scanCodesOf(event.code, kind);
    if (codes === undefined) return;
    event.preventDefault();
    machine.sendKeys(codes);
  }

  #take(frame: ScreenFrame): void {
    this.#waiting = frame;
    if (this.#isShown) this.#drawSoon();
  }

  #drawSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      const latest = this.#waiting;
      this.#waiting = null;
      if (latest !== null) this.#draw(latest);
    });
  }

  #draw(frame: ScreenFrame): void {
    if (frame.kind === 'text') this.#drawText(frame);
    else this.#drawPixels(frame);
  }

  #drawPixels(frame: Extract<ScreenFrame, { kind: 'graphics' }>): void {
    this.#shown = null;
    this.#size(frame.width, frame.height);
    const pixels = new Uint8ClampedArray(frame.rgba.buffer, frame.rgba.byteOffset, frame.rgba.length);
    this.#canvas.getContext('2d')?.putImageData(new ImageData(pixels, frame.width, frame.height), 0, 0);
  }

  #drawText(frame: TextFrame): void {
    const context = this.#canvas.getContext('2d', { alpha: false });
    if (context === null) return;
    const scale = this.#scale;
    if (this.#size(frame.columns * CELL_WIDTH * scale, frame.rows * CELL_HEIGHT * scale)) this.#shown = null;
    const old = this.#shown;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = `${CELL_HEIGHT - 2}px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace`;
    context.textBaseline = 'middle';
    context.textAlign = 'center';
    const cursorAt = (of: TextFrame): number =>
      of.cursor.visible ? of.cursor.row * of.columns + of.cursor.column : -1;
    const redrawn = new Set([cursorAt(frame), old === null ? -1 : cursorAt(old)]);
    for (let at = 0; at < frame.codePoints.length; at++) {
      const same =
        old !== null &&
        old.codePoints[at] === frame.codePoints[at] &&
        old.foreground[at] === frame.foreground[at] &&
        old.background[at] === frame.background[at];
      if (!same || redrawn.has(at)) drawCell(context, frame, at);
    }
    if (frame.cursor.visible) {
      context.fillStyle = '#c8c8c8';
      const { row, column } = frame.cursor;
      context.fillRect(column * CELL_WIDTH, row * CELL_HEIGHT + CELL_HEIGHT - 3, CELL_WIDTH, 2);
    }
    this.#shown = frame;
    if (performance.getEntriesByName(FIRST_FRAME).length === 0) performance.mark(FIRST_FRAME);
    this.#followTwin();
  }

  /** Whether the size is another one now; the canvas is then empty. */
  #size(width: number, height: number): boolean {
    if (this.#canvas.width === width && this.#canvas.height === height) return false;
    this.#canvas.width = width;
    this.#canvas.height = height;
    return true;
  }

  /** The text beside the canvas follows once a second: a reader cannot follow sixty. */
  #followTwin(): void {
    if (this.#twinTimer !== undefined) return;
    this.#twinTimer = setTimeout(() => {
      this.#twinTimer = undefined;
      if (this.#shown === null) return;
      const lines = linesOf(this.#shown).map((line) => line.trimEnd());
      this.#twin.textContent = lines.join('\n');
    }, TWIN_MS);
  }
}

/** Blocks are drawn as rectangles, since fonts leave gaps between them: x, y, width, height in parts of a cell, opacity. */
const BLOCKS: Readonly<Record<number, readonly [number, number, number, number, number]>> = {
  9600: [0, 0, 1, 0.5, 1],
  9604: [0, 0.5, 1, 0.5, 1],
  9608: [0, 0, 1, 1, 1],
  9612: [0, 0, 0.5, 1, 1],
  9616: [0.5, 0, 0.5, 1, 1],
  9617: [0, 0, 1, 1, 0.25],
  9618: [0, 0, 1, 1, 0.5],
  9619: [0, 0, 1, 1, 0.75],
};

function drawCell(context: CanvasRenderingContext2D, frame: TextFrame, at: number): void {
  const x = (at % frame.columns) * CELL_WIDTH;
  const y = Math.floor(at / frame.columns) * CELL_HEIGHT;
  context.fillStyle = colour(frame.background[at]!);
  context.fillRect(x, y, CELL_WIDTH, CELL_HEIGHT);
  const codePoint = frame.codePoints[at]!;
  if (codePoint <= 0x20) return;
  context.fillStyle = colour(frame.foreground[at]!);
  const block = BLOCKS[codePoint];
  if (block === undefined) {
    context.fillText(String.fromCodePoint(codePoint), x + CELL_WIDTH / 2, y + CELL_HEIGHT / 2 + 1);
    return;
  }
  const [left, top, width, height, opacity] = block;
  context.globalAlpha = opacity;
  context.fillRect(x + left * CELL_WIDTH, y + top * CELL_HEIGHT, width * CELL_WIDTH, height * CELL_HEIGHT);
  context.globalAlpha = 1;
}

function colour(rgb: number): string {
  return `#${rgb.toString(16).padStart(6, '0')}`;
}
