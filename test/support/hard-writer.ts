// A PC program that does nothing but write: a word of each page from 1 MiB up to the end of its memory, round after round.
// The guest that a live capture has the hardest time with. GNU as, `--32`, at f000:0000.

/** Words that tell how far it is: rounds done, and the address written last. */
export const HARD_WRITER = { rounds: 0x900, address: 0x904, firstBytes: 1 << 20 } as const;

/** The ROM for a machine with so much memory. */
export function hardWriter(memoryBytes: number): Uint8Array<ArrayBuffer> {
  const top = [0, 8, 16, 24]
    .map((shift) => ((memoryBytes >>> shift) & 0xff).toString(16).padStart(2, '0'))
    .join('');
  return Uint8Array.from(
    (
      'fa2e660f01161800' + // cli; lgdtl cs:18h
      '0f20c00c010f22c066ea36000f000800' + // mov eax,cr0; or al,1; mov cr0,eax; jmp 8:f0036h
      '17001e000f00' + // 18h: limit, base
      `${'00'.repeat(8)}ffff0000009acf00ffff00000092cf00` + // null, code, data
      '66b810008ed88ec08ed0bc00800000' + // 36h: mov ax,10h; mov ds,ax; mov es,ax; mov ss,ax; mov esp,8000h
      '31db43bf00001000' + // xor ebx,ebx; again: inc ebx; mov edi,100000h
      '011f893d0409000081c70010000081ff' + // next: add [edi],ebx; mov [904h],edi; add edi,1000h; cmp edi,
      `${top}72ea891d00090000ebdc`
    ) // top; jb next; mov [900h],ebx; jmp again
      .match(/../g)!
      .map((pair) => Number.parseInt(pair, 16)),
  );
}
