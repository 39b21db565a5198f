// Where Linux has its addresses on x86, before anything moves it.

/** Where 64-bit kernels map their text, before `phys_base` is added. */
export const TEXT_START_64 = 0xffff_ffff_8000_0000n;
/** Where 32-bit kernels of the usual split map the lowest memory. */
export const PAGE_OFFSET_32 = 0xc000_0000n;
