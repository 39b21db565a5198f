// A line of arguments as a shell would part it: at spaces, but for what stands in quotes; a backslash takes the next character
// as it is. Nothing else of a shell is understood, and nothing is looked up.

import { VitrineError } from '../base/error.ts';

/** The arguments. Throws `argument-invalid` for a quote that is not closed. */
export function splitArguments(line: string): string[] {
  const found: string[] = [];
  let argument: string | null = null;
  let quote: string | null = null;
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (character === '\\' && quote !== "'" && at + 1 < line.length) argument = (argument ?? '') + line[++at];
    else if (character === quote) quote = null;
    else if (quote === null && (character === '"' || character === "'")) {
      quote = character;
      argument ??= '';
    } else if (quote === null && /\s/.test(character)) {
      if (argument !== null) found.push(argument);
      argument = null;
    } else argument = (argument ?? '') + character;
  }
  if (quote !== null)
    throw new VitrineError('argument-invalid', { name: 'arguments', wants: `a closing ${quote}` });
  if (argument !== null) found.push(argument);
  return found;
}
