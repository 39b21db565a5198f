// What a file, a folder and the top level look like, and what no file may tell about the machine it was written on.

import { posix } from 'node:path';
import { matchesOf, type Problem, type SourceFile } from './tree.ts';

const MAX_LINES = 400;
const MAX_ROOT_LINES = 80;
const MAX_FOLDER_README_LINES = 60;
const VAGUE_NAMES = /(^|[/.-])(utils?|helpers?|types|common|misc|shared)(\.[a-z.]+)?$/;

const TOP_LEVEL = new Set([
  ...['src', 'workers', 'wasm', 'test', '.ci', 'package.json', 'package-lock.json', 'index.html'],
  ...[
    'vite.config.ts',
    'build.mjs',
    'biome.json',
    'tsconfig.json',
    'tsconfig.core.json',
    'tsconfig.lib.json',
  ],
  ...['README.md', 'CHANGELOG.md', 'LICENSE', '.gitignore', '.gitattributes', '.npmrc'],
]);

/** Put together here so that this file does not break its own rule. */
const join = (...parts: string[]) => parts.join('').replaceAll('.', '\\.');
const MACHINE_PATHS = new RegExp(
  `(?<![\\w.:/-])/(${['work', 'root', 'home'].join('|')})/[\\w.]|${'file:'}///(?!\\$)`,
);
const TEMPORARY_PATHS = new RegExp(`(?<![\\w.:/-])${join('/t', 'mp/')}`);
const REGISTRY_HOSTS = new RegExp(
  [
    join('registry.', 'npmjs'),
    join('registry.', 'yarnpkg'),
    join('deb.', 'debian.org'),
    join('npm', 'mirror'),
    join('snapshot.', 'debian.org'),
  ].join('|'),
);

/** What is wrong with the look of one file of ours. */
export function fileProblems({ path, text }: SourceFile): Problem[] {
  const problems: Problem[] = [];
  const isCode = /^(src|workers|wasm|test)\/.*\.(ts|mjs)$/.test(path) || path === 'build.mjs';
  if (VAGUE_NAMES.test(path.replace(/\.(ts|mjs|md)$/, ''))) {
    problems.push(`${path}: a name that says nothing; name the file for what it exports`);
  }
  const lineCount = text.split('\n').length - 1;
  if (/\/README\.md$/.test(path) && lineCount > MAX_FOLDER_README_LINES) {
    problems.push(
      `${path}: ${lineCount} lines; a folder's README has ${MAX_FOLDER_README_LINES} at most, move detail to a document beside it`,
    );
  }
  if (!isCode) return problems;
  if (lineCount > MAX_LINES) {
    problems.push(`${path}: ${lineCount} lines; at ${MAX_LINES} look for the second noun inside`);
  }
  if (!/^(#!.*\n)?(\/\/ |\/\*)/.test(text)) {
    problems.push(`${path}:1: no opening comment; say what the file is, what holds, and what it does not do`);
  }
  if (path.startsWith('workers/') && (lineCount > MAX_ROOT_LINES || /^export /m.test(text))) {
    problems.push(`${path}: a composition root only puts parts together; move the rest to src`);
  }
  return problems;
}

/** Folders of src that do not say what they are for. */
export function folderProblems(paths: readonly string[]): Problem[] {
  const folders = new Set(
    paths
      .map((path) => /^src\/(guest\/[^/]+|[^/]+)\//.exec(path)?.[0])
      .filter((folder) => folder !== undefined),
  );
  return [...folders]
    .filter((folder) => !paths.includes(`${folder}README.md`))
    .map((folder) => `${folder}: no README.md; what lives here, what may not, how to add one more`);
}

/** Files that editors, merges and experiments leave behind. */
export function leftoverProblems(paths: readonly string[]): Problem[] {
  return paths
    .filter(
      (path) =>
        /(\.(bak|orig|rej|tmp|log|tgz|swp)|~)$/.test(path) || /(^|\/)(tmp[^/]*|z\d*)\.test\.ts$/.test(path),
    )
    .map((path) => `${path}: left behind; remove it`);
}

/** Entries of the top level that do not belong there. */
export function topLevelProblems(paths: readonly string[]): Problem[] {
  const entries = new Set(paths.map((path) => path.split('/')[0]!));
  return [...entries]
    .filter((entry) => !TOP_LEVEL.has(entry))
    .map((entry) => `${entry}: the top level is fixed; put it into the folder it belongs to`);
}

/** Links of a document to files that are not there. */
export function linkProblems({ path, text }: SourceFile, paths: ReadonlySet<string>): Problem[] {
  if (!path.endsWith('.md')) return [];
  return matchesOf(text, /\]\((?![a-z]+:|#)([^)\s#]+)/).flatMap(({ line, match }) => {
    const target = posix.normalize(posix.join(posix.dirname(path), match[1]!)).replace(/\/$/, '');
    const isThere = paths.has(target) || [...paths].some((one) => one.startsWith(`${target}/`));
    return isThere ? [] : [`${path}:${line}: links to ${match[1]}, which is not there; mend the link`];
  });
}

/** Traces of one machine or one network. */
export function hygieneProblems({ path, text }: SourceFile): Problem[] {
  const find = (pattern: RegExp, instead: string): Problem[] =>
    matchesOf(text, pattern).map(({ line, match }) => `${path}:${line}: ${match[0]}; ${instead}`);
  // Paths inside the Linux guest are not paths of this machine.
  const drivesLinux = /^test\/(linux|guests|bench|browser)\/|^src\/app\//.test(path);
  return [
    ...(drivesLinux ? [] : find(MACHINE_PATHS, 'a path of one machine: build it from import.meta.url')),
    ...(drivesLinux ? [] : find(TEMPORARY_PATHS, 'use os.tmpdir()')),
    ...find(REGISTRY_HOSTS, 'leave the choice of registry to the machine that installs'),
    ...(path === 'package-lock.json'
      ? find(/"resolved":/, 'write the lock with omit-lockfile-registry-resolved, as .npmrc says')
      : []),
  ];
}
