// The size of a character on a PC's text screen, which page and painter agree on.

/** Pixels of a VGA text cell. */
export const CELL = { width: 9, height: 16 } as const;
