// The files of the repository as the tidy rules see them: what git tracks and what it would add, so that a rule
// speaks before a commit and not after it.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A text file: its path from the root, with slashes, and what is in it. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One broken rule: `src/a.ts:3: what is wrong; what to do instead`. */
export type Problem = string;

/** Paths from the root, sorted; none that git ignores. */
export function listPaths(): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const out = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const paths = out.split('\0').filter((path) => path !== '' && existsSync(ROOT + path));
  return [...new Set(paths)].filter((path) => statSync(ROOT + path).isFile()).sort();
}

/** The files at `paths` that are text. */
export function readTexts(paths: readonly string[]): SourceFile[] {
  return paths
    .map((path) => ({ path, bytes: readFileSync(ROOT + path) }))
    .filter(({ bytes }) => !bytes.includes(0))
    .map(({ path, bytes }) => ({ path, text: bytes.toString('utf8') }));
}

/** The text with comments blanked and lines kept, so that prose about a banned call is not one. */
export function codeOf(text: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, ' ');
  return text.replace(/\/\*[\s\S]*?\*\//g, blank).replace(/(^|[\s;{(,])\/\/[^\n]*/g, blank);
}

/** Every match of `pattern` in `text`, with its line, counted from 1. */
export function matchesOf(
  text: string,
  pattern: RegExp,
): { readonly line: number; readonly match: RegExpMatchArray }[] {
  return Array.from(text.matchAll(new RegExp(pattern.source, 'gm')), (match) => ({
    line: text.slice(0, match.index).split('\n').length,
    match,
  }));
}
