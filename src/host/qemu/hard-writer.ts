// A PC program that does nothing but write: a word of each page from 1 MiB up to the end of its memory, round after round.
// The guest that a live capture has the hardest time with, and whose memory tells whether it is of one instant. GNU as,
// `--32`, at f000:0000. Its segments are marked as used already: the processor would write the mark, and this is ROM, where KVM has
// the write tried again for ever.

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
      `${'00'.repeat(8)}ffff0000009bcf00ffff00000093cf00` + // null, code, data
      '66b810008ed88ec08ed0bc00800000' + // 36h: mov ax,10h; mov ds,ax; mov es,ax; mov ss,ax; mov esp,8000h
      '31db43bf00001000' + // xor ebx,ebx; again: inc ebx; mov edi,100000h
      '011f893d0409000081c70010000081ff' + // next: add [edi],ebx; mov [904h],edi; add edi,1000h; cmp edi,
      `${top}72ea891d00090000ebdc`
    ) // top; jb next; mov [900h],ebx; jmp again
      .match(/../g)!
      .map((pair) => Number.parseInt(pair, 16)),
  );
}

/** As a BIOS image of 64 KiB. */
export function hardWriterRom(memoryBytes: number): Uint8Array<ArrayBuffer> {
  const rom = new Uint8Array(65_536).fill(0xff);
  rom.set(hardWriter(memoryBytes));
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}

/**
 * What is wrong with its memory, or `none`. At any one instant the pages up to the one written last hold the sum of one round
 * more than those behind it.
 */
export function hardWriterFault(memory: Uint8Array): string {
  const words = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const rounds = words.getUint32(HARD_WRITER.rounds, true);
  const last = words.getUint32(HARD_WRITER.address, true);
  const sumOf = (round: number): number => Number(((BigInt(round) * BigInt(round + 1)) / 2n) % 2n ** 32n);
  // When a round has ended and the next has not begun, the last address is of the round that is counted already.
  const isBetween =
    last + 4096 === memory.length && words.getUint32(HARD_WRITER.firstBytes, true) === sumOf(rounds);
  for (let at = HARD_WRITER.firstBytes; at < memory.length; at += 4096) {
    const word = words.getUint32(at, true);
    const isWritten = !isBetween && at <= last;
    if (word === sumOf(isWritten ? rounds + 1 : rounds)) continue;
    // Between a page and the note of it.
    const isNext = at === last + 4096 || (last + 4096 === memory.length && at === HARD_WRITER.firstBytes);
    if (isNext && word === sumOf(rounds + 1)) continue;
    return `after ${rounds} rounds, at ${last.toString(16)}: ${at.toString(16)} holds ${word}`;
  }
  return 'none';
}
