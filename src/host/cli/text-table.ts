// Rows as columns of text, for people; programs read `--json`. Texts that others wrote lose what could move a cursor.

/** The lines of a table; numbers stand to the right. */
export function textTable(heads: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [heads, ...rows.map((row) => row.map((cell) => plainText(String(cell))))];
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const isNumber = heads.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'),
  );
  const lines = cells.map((row) =>
    row
      .map((cell, column) =>
        isNumber[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Names and values, one a line. */
export function textList(pairs: readonly (readonly [name: string, value: unknown])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${plainText(String(value))}\n`).join('');
}

/** Control characters, and those that turn the direction of what follows, become question marks. */
export function plainText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '?');
}
