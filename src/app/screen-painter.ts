// Draws a PC's pictures on a canvas, in a worker, so that no picture ever holds the page. It answers each picture when it
// was drawn: whoever sends waits for that, and a painter that falls behind gets fewer pictures and not a queue of them.
//
// Only cells that changed are drawn: a whole screen of text takes some milliseconds, and frames may come sixty times a
// second.

import { linesOf, type ScreenFrame, type TextFrame } from '../guest/v86/screen-frame.ts';
import { CELL } from './text-cell.ts';

/** Asks the worker for a painter. Canvas and port are transferred. */
export interface PaintRequest {
  readonly canvas: OffscreenCanvas;
  /** Pictures come in here, `Painted` goes out. */
  readonly port: MessagePort;
  /** Pixels of the canvas for one of a text screen. */
  readonly scale: number;
}

/** What a painter says: that a picture was drawn, or what the screen reads as, once a second at most. */
export type Painted = { readonly kind: 'drawn' } | { readonly kind: 'text'; readonly text: string };

/** How often a screen reader's twin of the screen follows it: a reader cannot follow sixty times a second. */
const TWIN_MS = 1000;
const FONT = `${CELL.height - 2}px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace`;
const CURSOR_COLOUR = '#c8c8c8';

type Context = OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D;

/** In the worker: a painter for each request. */
export function servePaintRequests(scope: Pick<typeof globalThis, 'addEventListener'>): void {
  scope.addEventListener('message', (event) => {
    const { canvas, port, scale } = (event as MessageEvent<PaintRequest>).data;
    paintFrom(port, canvas, scale);
  });
}

/** Draws on `canvas` what comes in at `port`, for as long as anything comes. */
export function paintFrom(
  port: MessagePort,
  canvas: OffscreenCanvas | HTMLCanvasElement,
  scale: number,
): void {
  const painter = new ScreenPainter(canvas, scale);
  const say = (painted: Painted): void => port.postMessage(painted);
  let isTwinDue = false;
  port.onmessage = ({ data: frame }: MessageEvent<ScreenFrame>) => {
    requestAnimationFrame(() => {
      painter.draw(frame);
      say({ kind: 'drawn' });
      if (isTwinDue) return;
      isTwinDue = true;
      setTimeout(() => {
        isTwinDue = false;
        say({ kind: 'text', text: painter.text });
      }, TWIN_MS);
    });
  };
}

/** A canvas and what stands on it. */
class ScreenPainter {
  readonly #canvas: OffscreenCanvas | HTMLCanvasElement;
  readonly #context: Context | null;
  readonly #scale: number;
  #shown: TextFrame | null = null;

  constructor(canvas: OffscreenCanvas | HTMLCanvasElement, scale: number) {
    this.#canvas = canvas;
    this.#scale = scale;
    this.#context = canvas.getContext('2d', { alpha: false }) as Context | null;
  }

  /** What stands on it as lines; empty while it is no text. */
  get text(): string {
    if (this.#shown === null) return '';
    return linesOf(this.#shown)
      .map((line) => line.trimEnd())
      .join('\n');
  }

  draw(frame: ScreenFrame): void {
    if (this.#context === null) return;
    if (frame.kind === 'text') this.#drawText(this.#context, frame);
    else this.#drawPixels(this.#context, frame);
  }

  #drawPixels(context: Context, frame: Extract<ScreenFrame, { kind: 'graphics' }>): void {
    this.#shown = null;
    this.#size(frame.width, frame.height);
    const pixels = new Uint8ClampedArray(frame.rgba.buffer, frame.rgba.byteOffset, frame.rgba.length);
    context.putImageData(new ImageData(pixels, frame.width, frame.height), 0, 0);
  }

  #drawText(context: Context, frame: TextFrame): void {
    const scale = this.#scale;
    const isNew = this.#size(frame.columns * CELL.width * scale, frame.rows * CELL.height * scale);
    const old = isNew ? null : this.#shown;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = FONT;
    context.textBaseline = 'middle';
    context.textAlign = 'center';
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
      const { row, column } = frame.cursor;
      context.fillStyle = CURSOR_COLOUR;
      context.fillRect(column * CELL.width, row * CELL.height + CELL.height - 3, CELL.width, 2);
    }
    this.#shown = frame;
  }

  /** Whether the size is another one now; the canvas is then empty. */
  #size(width: number, height: number): boolean {
    if (this.#canvas.width === width && this.#canvas.height === height) return false;
    this.#canvas.width = width;
    this.#canvas.height = height;
    return true;
  }
}

/** The cell under the cursor, or -1. */
function cursorAt({ cursor, columns }: TextFrame): number {
  return cursor.visible ? cursor.row * columns + cursor.column : -1;
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

function drawCell(context: Context, frame: TextFrame, at: number): void {
  const x = (at % frame.columns) * CELL.width;
  const y = Math.floor(at / frame.columns) * CELL.height;
  context.fillStyle = colour(frame.background[at]!);
  context.fillRect(x, y, CELL.width, CELL.height);
  const codePoint = frame.codePoints[at]!;
  if (codePoint <= 0x20) return;
  context.fillStyle = colour(frame.foreground[at]!);
  const block = BLOCKS[codePoint];
  if (block === undefined) {
    context.fillText(String.fromCodePoint(codePoint), x + CELL.width / 2, y + CELL.height / 2 + 1);
    return;
  }
  const [left, top, width, height, opacity] = block;
  context.globalAlpha = opacity;
  context.fillRect(x + left * CELL.width, y + top * CELL.height, width * CELL.width, height * CELL.height);
  context.globalAlpha = 1;
}

function colour(rgb: number): string {
  return `#${rgb.toString(16).padStart(6, '0')}`;
}
