// Pages from where a list says to one after another.

/** See `Kernels.gatherPages`. */
export function gatherPages(pages: usize, list: usize, pageBytes: u32, count: u32, out: usize): void {
  for (; count != 0; count--) {
    memory.copy(out, pages + load<u32>(list) * pageBytes, pageBytes);
    list += 4;
    out += pageBytes;
  }
}
