// The pages of one region as a map: a cell a page, or a block of pages where there are many. Changed cells are lit and
// larger. Pointer and arrow keys choose a cell; a table beside the map says the same in words.

import type { RegionDiff } from '../engine/diff.ts';
import { element } from './dom.ts';
import { currentLook, followLook, type Look, type LookFollower } from './look.ts';
import { formatAddress, formatCount } from './quantity.ts';

const MAX_CELLS = 4096;
const WIDTH = 768;

/** What a map is drawn with; its ground is `--well` of page.css. */
interface Palette {
  readonly equal: string;
  readonly cursor: string;
  /** From a block with one changed page to one in which all changed: ever further from the ground. */
  readonly shades: readonly [string, string, string, string];
}

export const MAP_PALETTES: Readonly<Record<Look, Palette>> = {
  dark: { equal: '#232b3a', cursor: '#ffffff', shades: ['#3a9ab3', '#2fb88f', '#7ad151', '#fde725'] },
  light: { equal: '#d5dce7', cursor: '#000000', shades: ['#3187a1', '#26708e', '#443983', '#440154'] },
};

export interface PageMapOptions {
  /** Where the region begins for the guest, or 0. */
  readonly address: number;
  readonly onChoose: (page: number) => void;
}

export class PageMap implements LookFollower {
  readonly element: HTMLElement;
  readonly #diff: RegionDiff;
  readonly #address: number;
  readonly #canvas: HTMLCanvasElement;
  readonly #status = element('p', { className: 'hint', attributes: { role: 'status' } });
  readonly #pagesACell: number;
  readonly #columns: number;
  /** Changed pages by cell. */
  readonly #changed: Uint16Array;
  #cursor = 0;

  constructor(diff: RegionDiff, { address, onChoose }: PageMapOptions) {
    this.#diff = diff;
    this.#address = address;
    this.#pagesACell = Math.max(1, 2 ** Math.ceil(Math.log2(diff.pageCount / MAX_CELLS)));
    this.#changed = new Uint16Array(Math.ceil(diff.pageCount / this.#pagesACell));
    for (const { first, count } of diff.runs) {
      for (let page = first; page < first + count; page++)
        this.#changed[Math.floor(page / this.#pagesACell)]!++;
    }
    this.#columns = this.#changed.length > 1024 ? 128 : 64;
    const choose = (): void => onChoose(this.#firstPage());
    this.#canvas = element('canvas', {
      className: 'page-map',
      attributes: {
        tabindex: 0,
        role: 'img',
        'aria-label': `Map of ${diff.name}: ${formatCount(diff.pagesChanged, 'page')} of ${diff.pageCount} differ. Arrow keys move, Enter shows the bytes.`,
      },
      on: {
        keydown: (event) => this.#onKey(event, choose),
        pointermove: (event) => this.#describe(this.#cellAt(event) ?? this.#cursor),
        pointerleave: () => this.#describe(this.#cursor),
        click: (event) => {
          const cell = this.#cellAt(event);
          if (cell === undefined) return;
          this.#moveTo(cell);
          choose();
        },
      },
    });
    this.#canvas.width = WIDTH;
    this.#canvas.height = Math.ceil(this.#changed.length / this.#columns) * this.#cellSize;
    this.#cursor = Math.max(
      0,
      this.#changed.findIndex((count) => count > 0),
    );
    this.element = element('div', { className: 'map' }, this.#canvas, this.#status);
    followLook(this);
    this.#draw();
    this.#describe(this.#cursor);
  }

  showLook(): void {
    this.#draw();
  }

  get #cellSize(): number {
    return WIDTH / this.#columns;
  }

  #draw(): void {
    const context = this.#canvas.getContext('2d');
    if (context === null) return;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const size = this.#cellSize;
    const { equal, cursor, shades } = MAP_PALETTES[currentLook()];
    for (const [cell, count] of this.#changed.entries()) {
      const x = (cell % this.#columns) * size;
      const y = Math.floor(cell / this.#columns) * size;
      const inset = count > 0 ? 0.5 : size / 4;
      context.fillStyle = count > 0 ? shades[this.#shade(count)] : equal;
      context.fillRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
    }
    const x = (this.#cursor % this.#columns) * size;
    const y = Math.floor(this.#cursor / this.#columns) * size;
    context.strokeStyle = cursor;
    context.lineWidth = 2;
    context.strokeRect(x, y, size, size);
  }

  #shade(count: number): 0 | 1 | 2 | 3 {
    if (this.#pagesACell === 1) return 2;
    const share = (count - 1) / (this.#pagesACell - 1);
    // Safe: no block has more changed pages than pages.
    return Math.min(3, Math.floor(share * 4)) as 0 | 1 | 2 | 3;
  }

  #cellAt(event: MouseEvent): number | undefined {
    const box = this.#canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.#columns);
    const row = Math.floor((((event.clientY - box.top) / box.height) * this.#canvas.height) / this.#cellSize);
    const cell = row * this.#columns + column;
    return column >= 0 && column < this.#columns && cell >= 0 && cell < this.#changed.length
      ? cell
      : undefined;
  }

  #onKey(event: KeyboardEvent, choose: () => void): void {
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.#columns,
      ArrowDown: this.#columns,
    };
    const step = steps[event.key];
    if (step !== undefined) this.#moveTo(this.#cursor + step);
    else if (event.key === 'Enter') choose();
    else return;
    event.preventDefault();
  }

  #moveTo(cell: number): void {
    if (cell < 0 || cell >= this.#changed.length) return;
    this.#cursor = cell;
    this.#draw();
    this.#describe(cell);
  }

  /** The first changed page of the cell with the cursor, or its first page. */
  #firstPage(): number {
    const first = this.#cursor * this.#pagesACell;
    const run = this.#diff.runs.find((one) => one.first + one.count > first);
    if (run === undefined || run.first >= first + this.#pagesACell) return first;
    return Math.max(first, run.first);
  }

  #describe(cell: number): void {
    const first = cell * this.#pagesACell;
    const count = this.#changed[cell] ?? 0;
    const at = formatAddress(this.#address + first * this.#diff.pageBytes);
    const pages =
      this.#pagesACell === 1 ? `page ${first}` : `pages ${first} to ${first + this.#pagesACell - 1}`;
    const said = count === 0 ? 'equal' : this.#pagesACell === 1 ? 'differs' : `${count} differ`;
    this.#status.textContent = `${pages} at ${at}: ${said}`;
  }
}
