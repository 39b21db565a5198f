// The table of error codes against the code that throws: no code without a row (the compiler sees to most of that),
// and no row that nothing throws, since a remedy for what cannot happen misleads.

import { ERRORS } from '../../src/base/error.ts';
import { codeOf, matchesOf, type Problem, type SourceFile } from './tree.ts';

const THROWN = /(?:new VitrineError|isVitrineError\(\w+,|\.refuse)\(?\s*'([a-z-]+)'/;
const TABLE = 'src/base/error.ts';

/** Codes without a row, and rows without a use, over all files of src and workers. */
export function errorCodeProblems(files: readonly SourceFile[]): Problem[] {
  const others = files
    .filter(({ path }) => path !== TABLE)
    .map(({ path, text }) => ({ path, code: codeOf(text) }));
  const unknown = others.flatMap(({ path, code }) =>
    matchesOf(code, THROWN)
      .filter(({ match }) => !(match[1]! in ERRORS))
      .map(({ line, match }) => `${path}:${line}: '${match[1]}' has no row; add it to ERRORS in ${TABLE}`),
  );
  const unused = Object.keys(ERRORS)
    .filter((row) => !others.some(({ code }) => code.includes(`'${row}'`)))
    .map((row) => `${TABLE}: nothing throws '${row}'; throw it or take the row out`);
  return [...unknown, ...unused];
}
