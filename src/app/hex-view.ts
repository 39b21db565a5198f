// Bytes as rows of hexadecimal digits and characters, with a cursor that the keyboard moves. It shows what it is given and
// asks for other rows; it reads nothing itself. Rows are made once and their text is replaced where it differs.

import { element } from './dom.ts';
import { formatAddress } from './quantity.ts';

const ROWS = 16;

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
  readonly #rows: { readonly address: HTMLElement; readonly cells: readonly Cell[] }[] = [];
  readonly #inspector = element('p', { className: 'inspector', attributes: { role: 'status' } });
  readonly #onScroll: (rows: number) => void;
  #content: HexContent = { address: 0, bytes: new Uint8Array(), marked: new Uint8Array() };
  #cursor = 0;

  /** `onScroll` is asked for content that lies so many rows further on. */
  constructor(columns: number, onScroll: (rows: number) => void) {
    this.columns = columns;
    this.#onScroll = onScroll;
    const grid = element('div', {
      className: 'hex',
      attributes: { role: 'grid', tabindex: 0, 'aria-label': 'Memory', 'aria-rowcount': ROWS },
      on: {
        keydown: (event) => this.#onKey(event),
        wheel: (event) => {
          if (document.activeElement !== grid) return;
          event.preventDefault();
          this.#onScroll(Math.sign(event.deltaY) * 4);
        },
      },
    });
    grid.addEventListener('click', (event) => {
      const at = (event.target as HTMLElement).dataset.at;
      if (at !== undefined) this.#moveCursor(Number(at));
    });
    for (let row = 0; row < ROWS; row++) grid.append(this.#makeRow(row));
    this.element = element('div', { className: 'hex-pane' }, grid, this.#inspector);
  }

  get byteCount(): number {
    return ROWS * this.columns;
  }

  show(content: HexContent): void {
    this.#content = content;
    for (const [row, { address, cells }] of this.#rows.entries()) {
      const first = row * this.columns;
      replaceText(address, first < content.bytes.length ? formatAddress(content.address + first) : '');
      for (const [column, cell] of cells.entries()) this.#showCell(cell, first + column);
    }
    this.#inspect();
  }

  #showCell({ hex, character }: Cell, at: number): void {
    const byte = this.#content.bytes[at];
    const isMarked = this.#content.marked[at] === 1;
    replaceText(hex, byte === undefined ? '  ' : byte.toString(16).padStart(2, '0'));
    replaceText(character, byte === undefined ? ' ' : characterOf(byte));
    const kind = `${isMarked ? 'marked ' : ''}${byte === 0 ? 'zero ' : ''}${at === this.#cursor ? 'cursor' : ''}`;
    if (hex.className !== kind) {
      hex.className = kind;
      character.className = kind;
    }
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
