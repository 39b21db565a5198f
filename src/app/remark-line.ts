// A line of the page's own between what a guest said: the machine knows nothing of it.

/** It as a terminal shows it. Labels are written by others: nothing that a terminal would obey gets through. */
export function remarkLine(text: string): string {
  return `\r\n\x1b[36m— ${text.replaceAll(/\p{C}/gu, ' ')} —\x1b[0m\r\n`;
}
