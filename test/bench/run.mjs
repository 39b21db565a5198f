// `npm run bench`: every row; `npm run bench -- P3`: one; `-- P3 --json`: prints as its last line one object.
//
// Rows are the files p*.ts of this folder, and rewind.ts, each `run()` of which gives a BenchRow (row.ts). Each result is printed
// and written to RESULTS.md with machine and commit. A goal that is missed is reported; the exit code stays 0.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const ROOT = join(FOLDER, '..', '..');
const RESULTS = join(FOLDER, 'RESULTS.md');
const TITLE =
  '# Results\n\nWritten by `npm run bench`; the rows and their goals are those of performance.md.\n';

const unknown = process.argv.slice(2).find((word) => word.startsWith('--') && word !== '--json');
if (unknown !== undefined) {
  console.error('npm run bench [-- P3 [P4 …] [--json]]: all rows, or those named');
  process.exit(unknown === '--help' ? 0 : 2);
}
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const asJson = process.argv.includes('--json');
const rows = readdirSync(FOLDER)
  .map((name) => /^(p\d+|rewind)\.ts$/.exec(name)?.[1])
  .filter((name) => name !== undefined)
  .sort(byNumber)
  .filter((name) => wanted.length === 0 || wanted.some((word) => word.toLowerCase() === name));
if (rows.length === 0) {
  console.error(`no such row: ${wanted.join(', ')}`);
  process.exit(2);
}

const commit = currentCommit();
const machine = describeMachine();
/** Before we add to it: above one or so, something else was running, and numbers are to be taken with care. */
const loadBefore = loadavg()[0].toFixed(1);
/** Inside the repository, so that packages are found from there. */
const built = mkdtempSync(join(FOLDER, '.rows-'));
try {
  await build();
  for (const name of rows) {
    const { run } = await import(pathToFileURL(join(built, `${name}.mjs`)).href);
    const row = await run();
    console.log(`\n${sectionOf(row)}`);
    record(row);
    if (asJson) console.log(JSON.stringify({ row: row.row, commit, machine, results: row.results }));
  }
} finally {
  rmSync(built, { recursive: true, force: true });
}

/**
 * Puts the rows and what they measure together as plain JavaScript, as the package is. Vite's server, which translates modules as they
 * are asked for, makes each use of an import a call of a getter: a full save of a machine took a third more processor time.
 */
async function build() {
  const bundle = await rolldown({
    input: Object.fromEntries(rows.map((name) => [name, join(FOLDER, `${name}.ts`)])),
    platform: 'node',
    logLevel: 'warn',
    external: (id) => !id.startsWith('.') && !isAbsolute(id),
    plugins: [
      {
        name: 'places',
        // A file is looked for beside the source that names it.
        transform: (code, id) =>
          code.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id.replace(/\?.*/, '')).href)),
      },
    ],
  });
  await bundle.write({
    dir: built,
    format: 'esm',
    entryFileNames: '[name].mjs',
    chunkFileNames: '[name]-[hash].mjs',
  });
  await bundle.close();
}

/** The Markdown of one row. */
function sectionOf(row) {
  return [
    `## ${row.row}`,
    '',
    `${machine}; commit ${commit}; ${new Date().toISOString().slice(0, 10)}; load before: ${loadBefore}`,
    '',
    '| Result | Value | Goal | | Ours | Peer |',
    '|---|---|---|---|---|---|',
    ...row.results.map(lineOf),
    ...(row.notes?.length ? ['', ...row.notes.map((note) => `- ${note}`)] : []),
    '',
  ].join('\n');
}

function lineOf(result) {
  const { name, value, unit, better, goal, ours, peer } = result;
  const met = better === 'higher' ? value >= goal : value <= goal;
  const bound = goal === undefined ? '' : `${better === 'higher' ? '≥' : '≤'} ${goal} ${unit}`;
  const verdict = goal === undefined ? '' : met ? 'met' : '**missed**';
  return `| ${name} | ${short(value)} ${unit} | ${bound} | ${verdict} | ${short(ours)} | ${short(peer)} |`;
}

function short(value) {
  if (value === undefined) return '';
  if (!Number.isFinite(value)) return 'none';
  return Math.abs(value) >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** P1 to P10, and rows without a number after them. */
function byNumber(a, b) {
  const number = (name) => Number(name.slice(1)) || Number.MAX_SAFE_INTEGER;
  return number(a) - number(b);
}

/** Puts the row in the place of what it was last time. */
function record(row) {
  const sections = new Map();
  for (const section of readResults()
    .split(/^(?=## )/m)
    .slice(1)) {
    sections.set(/^## (\S+)/.exec(section)[1], `${section.trimEnd()}\n`);
  }
  sections.set(row.row, sectionOf(row));
  const order = [...sections.keys()].sort(byNumber);
  writeFileSync(RESULTS, [TITLE, ...order.map((name) => sections.get(name))].join('\n'));
}

function readResults() {
  try {
    return readFileSync(RESULTS, 'utf8');
  } catch {
    return '';
  }
}

function describeMachine() {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpu?.model.trim() ?? 'unknown CPU'}, ${cpus().length} cores, ${memory} GiB, Node ${process.versions.node}`;
}

function currentCommit() {
  try {
    const git = (...words) => execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' }).trim();
    const changed = git('status', '--porcelain', '--', 'src', 'wasm', 'test') !== '';
    return git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : '');
  } catch {
    return 'unknown';
  }
}
