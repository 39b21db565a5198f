// A screen for v86 that needs no page: it stands where v86's own adapters stand and keeps what is shown as values, so
// that it works in a worker and under Node. Frames are made only when someone takes them.
//
// v86's VGA wants an `ImageData` on its wasm memory; a plain object of the same shape is put in its place, on the instance.

import { CODE_PAGE_437 } from './code-page-437.ts';
import { setPictureSize } from './picture-size.ts';
import type { Screen, ScreenFrame } from './screen-frame.ts';
import type { V86Emulator, V86Layer, V86ScreenAdapter, V86Vga } from './v86-internals.ts';

const FRAME_MS = 1000 / 60;

/** Takes the place of the emulator's screen. `isResting` says when nothing may be drawn, since drawing is state. */
export function attachHeadlessScreen(emulator: V86Emulator, isResting: () => boolean): HeadlessScreen {
  const vga = emulator.v86.cpu.devices.vga;
  const screen = new HeadlessScreen(vga, isResting);
  emulator.screen_adapter = screen;
  vga.screen = screen;
  const { wasm_memory: memory } = emulator.v86.cpu;
  vga.set_size_graphical = (...size) =>
    setPictureSize(emulator, size, (address, width, height) => ({
      data: new Uint8ClampedArray(memory.buffer, address, 4 * width * height),
      width,
      height,
    }));
  screen.set_mode(vga.graphical_mode);
  if (vga.graphical_mode) {
    vga.screen_width = 0;
    vga.set_size_graphical(vga.svga_width, vga.svga_height, vga.svga_width, vga.svga_height, vga.svga_bpp);
    vga.update_layers();
  } else {
    vga.set_size_text(vga.max_cols, vga.max_rows);
    vga.update_cursor_scanline();
    vga.update_cursor();
  }
  vga.complete_redraw();
  return screen;
}

export class HeadlessScreen implements Screen, V86ScreenAdapter {
  /** Bits of `put_char`'s flags, which v86 reads here. */
  readonly FLAG_BLINKING = 1;
  readonly FLAG_FONT_PAGE_B = 2;

  readonly #vga: V86Vga;
  readonly #isResting: () => boolean;
  readonly #listeners = new Set<(frame: ScreenFrame) => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #changed = true;
  #graphical = false;
  #columns = 0;
  #rows = 0;
  #codePoints = new Uint16Array(0);
  #foreground = new Uint32Array(0);
  #background = new Uint32Array(0);
  #cursor = { row: 0, column: 0, visible: false };
  #width = 0;
  #height = 0;
  #rgba = new Uint8Array(0);

  constructor(vga: V86Vga, isResting: () => boolean) {
    this.#vga = vga;
    this.#isResting = isResting;
  }

  takeFrame(): ScreenFrame | undefined {
    if (!this.#isResting()) this.refresh();
    if (!this.#changed) return undefined;
    this.#changed = false;
    if (this.#graphical) {
      return { kind: 'graphics', width: this.#width, height: this.#height, rgba: this.#rgba.slice() };
    }
    return {
      kind: 'text',
      columns: this.#columns,
      rows: this.#rows,
      codePoints: this.#codePoints.slice(),
      foreground: this.#foreground.slice(),
      background: this.#background.slice(),
      cursor: this.#cursor,
    };
  }

  onFrame(listener: (frame: ScreenFrame) => void): () => void {
    this.#listeners.add(listener);
    this.#changed = true;
    this.#schedule();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.destroy();
    };
  }

  /** The picture is whatever the machine shows now, all of it: after a restore. */
  invalidate(): void {
    this.#changed = true;
  }

  // From here on: what v86 calls.

  destroy(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  pause(): void {}
  continue(): void {}
  set_font_bitmap(): void {}
  set_font_page(): void {}
  set_scale(): void {}

  set_mode(graphical: boolean): void {
    this.#graphical = graphical;
    this.#changed = true;
  }

  put_char(
    row: number,
    column: number,
    code: number,
    _flags: number,
    background: number,
    foreground: number,
  ): void {
    const at = row * this.#columns + column;
    if (row >= this.#rows || column >= this.#columns) return;
    const codePoint = CODE_PAGE_437[code & 0xff]!;
    if (
      this.#codePoints[at] === codePoint &&
      this.#foreground[at] === foreground &&
      this.#background[at] === background
    ) {
      return;
    }
    this.#codePoints[at] = codePoint;
    this.#foreground[at] = foreground;
    this.#background[at] = background;
    this.#changed = true;
  }

  clear_text_state(): void {
    this.#columns = 0;
    this.#rows = 0;
  }

  clear_screen(): void {
    if (!this.#graphical) return;
    for (let at = 0; at < this.#rgba.length; at += 4) this.#rgba.set([0, 0, 0, 255], at);
    this.#changed = true;
  }

  set_size_text(columns: number, rows: number): void {
    if (columns === this.#columns && rows === this.#rows) return;
    this.#columns = columns;
    this.#rows = rows;
    this.#codePoints = new Uint16Array(columns * rows).fill(0x20);
    this.#foreground = new Uint32Array(columns * rows);
    this.#background = new Uint32Array(columns * rows);
    this.#changed = true;
  }

  set_size_graphical(width: number, height: number): void {
    this.#width = width;
    this.#height = height;
    this.#rgba = new Uint8Array(4 * width * height);
    this.clear_screen();
  }

  update_cursor_scanline(_start: number, _end: number, visible: boolean): void {
    this.#moveCursor({ ...this.#cursor, visible });
  }

  update_cursor(row: number, column: number): void {
    this.#moveCursor({ ...this.#cursor, row, column });
  }

  update_buffer(layers: readonly V86Layer[]): void {
    for (const layer of layers) this.#copyLayer(layer);
    if (layers.length > 0) this.#changed = true;
  }

  #moveCursor(cursor: { row: number; column: number; visible: boolean }): void {
    const old = this.#cursor;
    if (old.row === cursor.row && old.column === cursor.column && old.visible === cursor.visible) return;
    this.#cursor = cursor;
    this.#changed = true;
  }

  #copyLayer(layer: V86Layer): void {
    const { data, width: sourceWidth } = layer.image_data;
    const x = Math.max(0, layer.screen_x);
    const skipped = x - layer.screen_x;
    const width = Math.min(layer.buffer_width - skipped, this.#width - x);
    if (width <= 0) return;
    for (let row = 0; row < layer.buffer_height; row++) {
      const y = layer.screen_y + row;
      if (y < 0 || y >= this.#height) continue;
      const from = 4 * ((layer.buffer_y + row) * sourceWidth + layer.buffer_x + skipped);
      this.#rgba.set(data.subarray(from, from + 4 * width), 4 * (y * this.#width + x));
    }
  }

  /** Lets v86 compute what changed of a picture; text arrives by itself. */
  refresh(): void {
    const vga = this.#vga;
    if (!vga.graphical_mode || vga.image_data === null) {
      vga.update_vertical_retrace();
      return;
    }
    const untouched =
      vga.diff_addr_min >= vga.diff_addr_max && vga.diff_plot_min >= vga.diff_plot_max && !vga.svga_enabled;
    if (untouched) vga.update_vertical_retrace();
    else {
      // Memory that grew left the old view empty; v86 would make an ImageData then.
      if (vga.image_data.data.byteLength === 0) forgetPicture(vga);
      vga.screen_fill_buffer();
    }
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // Also at rest: a restore into a stopped machine has a picture.
      const frame = this.takeFrame();
      if (frame !== undefined) for (const listener of this.#listeners) listener(frame);
      this.#schedule();
    }, FRAME_MS);
  }
}

/** Makes v86 build its picture anew. */
function forgetPicture(vga: V86Vga): void {
  const { screen_width, screen_height, virtual_width, virtual_height, svga_bpp } = vga;
  vga.screen_width = 0;
  vga.set_size_graphical(screen_width, screen_height, virtual_width, virtual_height, svga_bpp);
  vga.update_layers();
  vga.complete_redraw();
}
