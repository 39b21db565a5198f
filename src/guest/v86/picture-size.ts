// A graphical mode's size, taken over from v86: its own function makes an `ImageData` on its wasm memory, which Node does
// not have and shared memory refuses.

import type { V86Emulator, V86ImageData } from './v86-internals.ts';

/** What v86 calls its function with. */
export type PictureSize = [
  width: number,
  height: number,
  virtualWidth: number,
  virtualHeight: number,
  bitsPerPixel: number,
];

/** Does what `set_size_graphical` does; `makeImage` gives the picture, whose pixels v86 computes at `address`. */
export function setPictureSize(
  { v86: { cpu } }: V86Emulator,
  [width, height, virtualWidth, virtualHeight, bitsPerPixel]: PictureSize,
  makeImage: (address: number, width: number, height: number) => V86ImageData,
): void {
  const { vga } = cpu.devices;
  const sourceWidth = Math.max(virtualWidth, 1);
  const sourceHeight = Math.max(virtualHeight, 1);
  const same =
    vga.screen_width === width &&
    vga.screen_height === height &&
    vga.virtual_width === sourceWidth &&
    vga.virtual_height === sourceHeight;
  if (same) return;
  vga.screen_width = width;
  vga.screen_height = height;
  vga.virtual_width = sourceWidth;
  vga.virtual_height = sourceHeight;
  vga.dest_buffet_offset = cpu.svga_allocate_dest_buffer(sourceWidth * sourceHeight) >>> 0;
  vga.image_data = makeImage(vga.dest_buffet_offset, sourceWidth, sourceHeight);
  cpu.svga_mark_dirty();
  vga.screen.set_size_graphical(width, height, sourceWidth, sourceHeight);
  vga.bus.send('screen-set-size', [width, height, bitsPerPixel]);
}
