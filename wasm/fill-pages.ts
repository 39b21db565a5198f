// Which pages repeat one 8-byte pattern, and which pattern.

import { repeats } from './repeats';

/** See `Kernels.fillPages`. */
export function fillPages(pages: usize, pageBytes: u32, pageCount: u32, bits: usize, patterns: usize): u32 {
  let fills: u32 = 0;
  let byte: u32 = 0;
  for (let page: u32 = 0; page < pageCount; page++) {
    let pattern = load<u64>(pages);
    if (repeats(pages, pageBytes, pattern)) {
      byte |= 1 << (page & 7);
      fills++;
    } else {
      pattern = 0;
    }
    store<u64>(patterns, pattern);
    patterns += 8;
    pages += pageBytes;
    if ((page & 7) == 7) {
      store<u8>(bits++, byte);
      byte = 0;
    }
  }
  if (pageCount & 7) store<u8>(bits, byte);
  return fills;
}
