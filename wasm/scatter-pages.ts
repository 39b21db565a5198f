// Pages that lie one after another to where a list says.

/** See `Kernels.scatterPages`. */
export function scatterPages(pages: usize, list: usize, pageBytes: u32, count: u32, from: usize): void {
  for (; count != 0; count--) {
    memory.copy(pages + load<u32>(list) * pageBytes, from, pageBytes);
    list += 4;
    from += pageBytes;
  }
}
