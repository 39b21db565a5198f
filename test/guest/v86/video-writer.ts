// A program that writes where it is told, for linear video memory: with or without paging, by single stores and by `rep stosd`.
//
//   word 900h   counts its rounds
//   word 904h   where it writes to, 0 for nowhere; set from outside while it rests
//   word 90ch   set before it starts: paging is on, and 400000h is the page at e0007000h
//
// GNU as, `--32`, at f000:0000.

export const VIDEO_WRITER = {
  rounds: 0x900,
  target: 0x904,
  paging: 0x90c,
  /** The page seen at 4 MiB with paging on. */
  mapped: { address: 0x40_0000, offsetBytes: 0x7000 },
  code: Uint8Array.from(
    (
      'fa2e660f01161800' + // cli; lgdtl cs:18h
      '0f20c00c010f22c066ea36000f000800' + // mov eax,cr0; or al,1; mov cr0,eax; jmp 8:f0036h
      '17001e000f00' + // 18h: limit, base
      `${'00'.repeat(8)}ffff0000009acf00ffff00000092cf00` + // null, code, data
      '66b810008ed88ec08ed0bc00800000' + // 36h: mov ax,10h; mov ds,ax; mov es,ax; mov ss,ax; mov esp,8000h
      '833d0c09000000744c' + // cmp dword [90ch],0; je ready
      'c7050000010003100100c7050400010003200100' + // page directory at 10000h: tables at 11000h and 12000h
      'bf00100100b8030000008907050010000083c7043d0300100072ef' + // the first megabyte as it is
      'c70500200100037000e0' + // 4 MiB: e0007000h
      'b8000001000f22d80f20c00d000000800f22c0' + // cr3; paging on
      '31db43891d00090000' + // ready: xor ebx,ebx; again: inc ebx; mov [900h],ebx
      '8b3d0409000085ff74ef' + // mov edi,[904h]; test edi,edi; jz again
      '011f89d88d7f08b904000000f3abebdf'
    ) // add [edi],ebx; mov eax,ebx; lea edi,[edi+8]; mov ecx,4; rep stosd; jmp again
      .match(/../g)!,
    (pair) => Number.parseInt(pair, 16),
  ),
} as const;
