// Which pages hold zeros alone.

import { repeats } from './repeats';

/** See `Kernels.zeroPages`. */
export function zeroPages(pages: usize, pageBytes: u32, pageCount: u32, bits: usize): u32 {
  let zeros: u32 = 0;
  let byte: u32 = 0;
  for (let page: u32 = 0; page < pageCount; page++) {
    if (repeats(pages, pageBytes, 0)) {
      byte |= 1 << (page & 7);
      zeros++;
    }
    pages += pageBytes;
    if ((page & 7) == 7) {
      store<u8>(bits++, byte);
      byte = 0;
    }
  }
  if (pageCount & 7) store<u8>(bits, byte);
  return zeros;
}
