// Bytes as rows of hexadecimal digits and characters, with a cursor that the keyboard moves. It shows what it is given and
// asks for other rows; it reads nothing itself. Rows are made once and their text is replaced where it differs, so many
// cells a frame: all 512 at once, made or changed, took 10 ms of the page's thread to write and 20 to paint.

import { element } from './dom.ts';
import { formatAddress } from './quantity.ts';
import { nextPaint } from './turns.ts';

const ROWS = 16;
/** Rows made in one frame. */
const ROWS_A_FRAME = 3;
/** Cells written in one frame. */
const CELLS_A_FRAME = 96;

/** What is shown. */
export interface HexContent {
  /** The address of the first byte, as labels show it. */
  readonly address: number;
  /** At most `byteCount` bytes; fewer at a region's end. */
  readonly bytes: Uint8Array;
  /** One byte a byte: 1 where it is to be marked. */
  readonly marked: Uint8Array;
}

interface Cell {
  readonly hex: HTMLElement;
  readonly character: HTMLElement;
}

export class HexView {
  readonly element: HTMLElement;
  readonly columns: number;
  readonly #grid: HTMLElement;
  readonly #rows: { readonly address: HTMLElement; readonly cells: readonly Cell[] }[] = [];
  readonly #inspector = element('p', { className: 'inspector', attributes: { role: 'status' } });
  readonly #onScroll: (rows: number) => void;
  #content: HexContent = { address: 0, bytes: new Uint8Array(), marked: new Uint8Array() };
  #cursor = 0;
  #isWriting = false;

  /** `onScroll` is asked for content that lies so many rows further on. */
  constructor(columns: number, onScroll: (rows: number) => void) {
    this.columns = columns;
    this.#onScroll = onScroll;
    this.#grid = element('div', {
      className: 'hex',
      attributes: { role: 'grid', tabindex: 0, 'aria-label': 'Memory', 'aria-rowcount': ROWS },
      on: {
        keydown: (event) => this.#onKey(event),
        wheel: (event) => {
          if (document.activeElement !== this.#grid) return;
          event.preventDefault();
          this.#onScroll(Math.sign(event.deltaY) * 4);
        },
      },
    });
    this.#grid.addEventListener('click', (event) => {
      const at = (event.target as HTMLElement).dataset.at;
      if (at !== undefined) this.#moveCursor(Number(at));
    });
    this.element = element('div', { className: 'hex-pane' }, this.#grid, this.#inspector);
  }

  get byteCount(): number {
    return ROWS * this.columns;
  }

  /** What does not fit into this frame follows in the next ones. */
  show(content: HexContent): void {
    this.#content = content;
    this.#inspect();
    if (!this.#isWriting) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (!this.#write()) await nextPaint();
    this.#isWriting = false;
  }

  /** One frame's share. Returns whether everything stands. */
  #write(): boolean {
    if (this.#rows.length < ROWS) {
      for (let left = ROWS_A_FRAME; left > 0 && this.#rows.length < ROWS; left--) {
        this.#grid.append(this.#makeRow(this.#rows.length));
      }
      return false;
    }
    let left = CELLS_A_FRAME;
    for (const [row, { address, cells }] of this.#rows.entries()) {
      const first = row * this.columns;
      const { bytes } = this.#content;
      replaceText(address, first < bytes.length ? formatAddress(this.#content.address + first) : '');
      for (const [column, cell] of cells.entries()) {
        if (this.#showCell(cell, first + column) && --left === 0) return false;
      }
    }
    return true;
  }

  /** Returns whether there was anything to write. */
  #showCell({ hex, character }: Cell, at: number): boolean {
    const byte = this.#content.bytes[at];
    const isMarked = this.#content.marked[at] === 1;
    const kind = `${isMarked ? 'marked ' : ''}${byte === 0 ? 'zero ' : ''}${at === this.#cursor ? 'cursor' : ''}`;
    const digits = byte === undefined ? '  ' : byte.toString(16).padStart(2, '0');
    if (hex.textContent === digits && hex.className === kind) return false;
    replaceText(hex, digits);
    replaceText(character, byte === undefined ? ' ' : characterOf(byte));
    hex.className = kind;
    character.className = kind;
    return true;
  }

  #makeRow(row: number): HTMLElement {
    const address = element('span', { className: 'address', attributes: { role: 'rowheader' } });
    const cells = Array.from({ length: this.columns }, (_, column) => {
      const attributes = { role: 'gridcell', 'data-at': row * this.columns + column };
      return {
        hex: element('span', { attributes }),
        character: element('span', {
          attributes: { 'data-at': attributes['data-at'], 'aria-hidden': 'true' },
        }),
      };
    });
    this.#rows.push({ address, cells });
    return element(
      'div',
      { className: 'row', attributes: { role: 'row', 'aria-rowindex': row + 1 } },
      address,
      element('span', { className: 'digits' }, ...cells.map(({ hex }) => hex)),
      element('span', { className: 'characters' }, ...cells.map(({ character }) => character)),
    );
  }

  #onKey(event: KeyboardEvent): void {
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
    };
    const step = steps[event.key];
    if (step !== undefined) this.#moveCursor(this.#cursor + step);
    else if (event.key === 'PageUp') this.#onScroll(-ROWS);
    else if (event.key === 'PageDown') this.#onScroll(ROWS);
    else if (event.key === 'Home') this.#moveCursor(this.#cursor - (this.#cursor % this.columns));
    else if (event.key === 'End')
      this.#moveCursor(this.#cursor - (this.#cursor % this.columns) + this.columns - 1);
    else return;
    event.preventDefault();
  }

  /** Past an end the content is asked to scroll, and the cursor stays on its column. */
  #moveCursor(at: number): void {
    const column = ((at % this.columns) + this.columns) % this.columns;
    if (at < 0) {
      this.#cursor = column;
      this.#onScroll(-1);
    } else if (at >= this.byteCount) {
      this.#cursor = this.byteCount - this.columns + column;
      this.#onScroll(1);
    } else {
      this.#cursor = at;
    }
    this.show(this.#content);
  }

  /** The values that begin at the cursor, little-endian. */
  #inspect(): void {
    const { address, bytes } = this.#content;
    const left = bytes.length - this.#cursor;
    if (left <= 0) {
      replaceText(this.#inspector, '');
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset + this.#cursor, left);
    const values = [`u8 ${view.getUint8(0)}`];
    if (left >= 2) values.push(`u16 ${view.getUint16(0, true)}`);
    if (left >= 4) values.push(`u32 ${view.getUint32(0, true)}`, `i32 ${view.getInt32(0, true)}`);
    replaceText(this.#inspector, `at ${formatAddress(address + this.#cursor)}: ${values.join('   ')}`);
  }
}

function characterOf(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·';
}

function replaceText(of: HTMLElement, text: string): void {
  if (of.textContent !== text) of.textContent = text;
}
