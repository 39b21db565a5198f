// A ROM that sets 320 x 200 of 32 bits by the Bochs VBE ports, draws one pixel through the window at A000h, and stops.

const ROM_BYTES = 65_536;

/** Byte of the first pixel of row 3, column 5: blue 33, green 22, red 11. */
export const PIXEL = { at: 4 * (3 * 320 + 5), rgba: [0x11, 0x22, 0x33, 255] } as const;

const MODE = [
  [0x4, 0x00], // disabled
  [0x1, 320],
  [0x2, 200],
  [0x3, 32],
  [0x4, 0x41], // enabled, linear frame buffer
].flatMap(([index, value]) => [
  ...[0xba, 0xce, 0x01, 0xb8, index! & 0xff, 0x00, 0xef], // mov dx,1ce; mov ax,index; out dx,ax
  ...[0xba, 0xcf, 0x01, 0xb8, value! & 0xff, value! >> 8, 0xef], // mov dx,1cf; mov ax,value; out dx,ax
]);

const DRAW = [
  ...[0xb8, 0x00, 0xa0, 0x8e, 0xc0], // mov ax,a000; mov es,ax
  ...[0xbf, PIXEL.at & 0xff, PIXEL.at >> 8], // mov di,at
  ...[0x26, 0xc7, 0x05, 0x33, 0x22], // mov word [es:di],2233
  ...[0x26, 0xc7, 0x45, 0x02, 0x11, 0x00], // mov word [es:di+2],0011
  ...[0xeb, 0xfe], // jmp $
];

/** Entered at f000:0000 from the end of the address space, as a PC does. */
export const GRAPHICS_ROM = (() => {
  const rom = new Uint8Array(ROM_BYTES).fill(0xff);
  rom.set([...MODE, ...DRAW]);
  rom.set([0xea, 0x00, 0x00, 0x00, 0xf0], 0xfff0);
  return rom;
})();
