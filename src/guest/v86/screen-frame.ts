// What a PC shows, as a value: it can be cloned to another thread and drawn there.

import type { OwnedBytes } from '../../base/bytes.ts';

/** Text mode: a grid of characters, row by row. */
export interface TextFrame {
  readonly kind: 'text';
  readonly columns: number;
  readonly rows: number;
  /** Unicode code points, code page 437 translated. */
  readonly codePoints: Uint16Array<ArrayBuffer>;
  /** Colours as 0xRRGGBB. */
  readonly foreground: Uint32Array<ArrayBuffer>;
  readonly background: Uint32Array<ArrayBuffer>;
  readonly cursor: { readonly row: number; readonly column: number; readonly visible: boolean };
}

/** A graphics mode: pixels of four bytes, red, green, blue, 255. */
export interface GraphicsFrame {
  readonly kind: 'graphics';
  readonly width: number;
  readonly height: number;
  readonly rgba: OwnedBytes;
}

export type ScreenFrame = TextFrame | GraphicsFrame;

/** A screen that can be watched. */
export interface Screen {
  /** What is shown now if it changed since the last call, else undefined. The frame is the caller's. */
  takeFrame(): ScreenFrame | undefined;
  /** Calls `listener` with every new frame, at most sixty times a second, until the returned function is called. */
  onFrame(listener: (frame: ScreenFrame) => void): () => void;
}

/** The lines of a text frame, for a reader or a test. */
export function linesOf(frame: TextFrame): string[] {
  return Array.from({ length: frame.rows }, (_, row) => {
    const line = frame.codePoints.subarray(row * frame.columns, (row + 1) * frame.columns);
    return String.fromCodePoint(...line);
  });
}
