// A program whose memory is not where it says: for what goes through page tables.

/**
 * Paging that is no identity: 17 pages at 4 MiB, in falling order from 5f000h. Writes across page borders and with
 * `rep stosd`; every 4,096 rounds it empties the TLB and takes a page table's accessed and dirty bits away. Word 900h
 * counts the rounds. GNU as, `--32`, at f000:0000.
 */
export const PAGING = Uint8Array.from(
  (
    'fa2e660f01161800' + // cli; lgdtl cs:18h
    '0f20c00c010f22c066ea36000f000800' + // mov eax,cr0; or al,1; mov cr0,eax; jmp 8:f0036h
    '17001e000f00' + // 18h: limit, base
    '000000000000000000ffff0000009acf00ffff00000092cf00'.slice(2) + // null, code, data
    '66b810008ed88ec08ed0bc00800000' + // 36h: mov ax,10h; mov ds,ax; mov es,ax; mov ss,ax; mov esp,8000h
    'c7050000010003100100c7050400010003200100' + // page directory at 10000h: tables at 11000h and 12000h
    'bf00100100b8030000008907050010000083c7043d0300100072ef' + // the first megabyte as it is
    'bf00200100b803f0050089072d0010000083c7043d03f0040073ef' + // 5f000h downward
    'b8000001000f22d80f20c00d000000800f22c031db' + // cr3; paging on; xor ebx,ebx
    '4389df83e70fc1e70c' + // again: inc ebx; edi = (ebx & 15) << 12
    '019ffe0f40008dbf00014000b90400000089d8f3ab' + // add [edi+400ffeh],ebx; edi += 400100h; rep stosd of four
    '891d00090000f7c3ff0f000075d4' + // mov [900h],ebx; test ebx,fffh; jnz again
    '0f20d80f22d88325002001009febc5'
  ) // cr3 anew; and [12000h],~60h; jmp again
    .match(/../g)!,
  (pair) => Number.parseInt(pair, 16),
);
