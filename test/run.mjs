// `npm test`: everything, from a fresh clone after `npm ci`, in one go.
//
// Makes sure of what the tests need (Node, Chromium, QEMU, the Linux guest), builds kernels, page and package, then runs
// each lane and ends with one line, `N passed, N failed`, over all of them. A lane that cannot run is a failure;
// to leave one out, say so: `npm test -- --without-browser --without-linux --without-qemu`. One lane alone: `npm test -- --only unit`.

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ensureArmCompiler } from './setup/arm-compiler.mjs';
import { run } from './setup/child.mjs';
import { ensureChromium } from './setup/chromium.mjs';
import { ensureQemu, tellQemus } from './setup/qemu.mjs';
import { closingLineOf, failuresOf, lineOf, sumOf, tallyOfCheck, tallyOfVitest } from './setup/tally.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MINIMUM_NODE = [20, 19];
const CHECK_TIMEOUT_MS = 5 * 60_000;
const LANE_TIMEOUT_MS = 25 * 60_000;

/** In running order: quick ones first. Without what it `needs` a lane is not run; without what it `wants` tests of it fail. */
const LANES = [
  { name: 'types', command: ['tsc', '-p', '.'], needs: ['kernels'] },
  { name: 'core types', command: ['tsc', '-p', 'tsconfig.core.json'], needs: ['kernels'] },
  { name: 'lint', command: ['biome', 'check', '--error-on-warnings', '.'], needs: [] },
  { name: 'unit', project: 'unit', needs: ['kernels'] },
  { name: 'emulators', project: 'emulators', needs: ['kernels'], wants: ['arm-compiler'] },
  { name: 'qemu', project: 'qemu', needs: ['kernels', 'qemu'], wants: ['guests'] },
  { name: 'pack', project: 'pack', needs: ['kernels'], wants: ['chromium'] },
  { name: 'browser', project: 'browser', needs: ['kernels', 'page', 'chromium'], wants: ['qemu'] },
  { name: 'linux', project: 'linux', needs: ['kernels', 'guests'] },
];

const { values: options } = parseArgs({
  options: {
    'without-browser': { type: 'boolean', default: false },
    'without-linux': { type: 'boolean', default: false },
    'without-qemu': { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
  },
});

process.exitCode = await main();

async function main() {
  const unknown = options.only.filter((name) => !LANES.some((lane) => lane.name === name));
  if (unknown.length > 0) {
    say(`no such lane: ${unknown.join(', ')}. Lanes: ${LANES.map((lane) => lane.name).join(', ')}`);
    return 2;
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor < MINIMUM_NODE[1])) {
    say(`Node ${MINIMUM_NODE.join('.')} or newer is needed; this is ${process.versions.node}.`);
    return close([{ name: 'node', tally: tallyOfCheck(false) }]);
  }
  const lanes = LANES.filter(isChosen);
  const missing = await prepare(new Set(lanes.flatMap(({ needs, wants = [] }) => [...needs, ...wants])));
  const results = [];
  for (const lane of lanes) results.push(await runLane(lane, missing));
  return close(results);
}

function isChosen({ name }) {
  if (options.only.length > 0) return options.only.includes(name);
  if (name === 'browser') return !options['without-browser'];
  if (name === 'qemu') return !options['without-qemu'];
  if (name === 'linux') return !options['without-linux'];
  return true;
}

/** Provides what lanes need; the result says what could not be had, and why. */
async function prepare(needs) {
  const missing = new Map();
  const step = async (need, script) => {
    if (!needs.has(need)) return;
    title(`npm run ${script}`);
    const { ok, note } = await run('npm', ['run', '--silent', script], {
      cwd: ROOT,
      timeoutMs: LANE_TIMEOUT_MS,
    });
    if (!ok) missing.set(need, note ?? `npm run ${script} failed; see above`);
  };
  await step('kernels', 'build:wasm');
  await step('page', 'build');
  await step('guests', 'guests');
  if (needs.has('arm-compiler')) {
    const absent = await ensureArmCompiler((command, args, rest) =>
      run(command, args, { cwd: ROOT, ...rest }),
    );
    if (absent !== undefined) say(absent);
  }
  if (needs.has('qemu') && !options['without-qemu']) {
    const absent = await ensureQemu((command, args, rest) => run(command, args, { cwd: ROOT, ...rest }));
    if (absent === undefined) say(tellQemus());
    else missing.set('qemu', absent);
  }
  if (needs.has('chromium') && !options['without-browser']) {
    const chromium = await ensureChromium((command, args, rest) =>
      run(command, args, { cwd: ROOT, ...rest }),
    );
    if (chromium.path === undefined) missing.set('chromium', chromium.missing);
    else process.env.CHROMIUM = chromium.path;
  }
  return missing;
}

async function runLane(lane, missing) {
  const { name, needs } = lane;
  const absent = needs.filter((need) => missing.has(need));
  title(name);
  if (absent.length > 0) {
    for (const need of absent) say(`LANE NOT RUN: ${name} needs ${need}. ${missing.get(need)}`);
    return { name, tally: tallyOfCheck(false), note: 'not run' };
  }
  const startMs = performance.now();
  const result = lane.project === undefined ? await runCheck(lane.command) : await runTests(lane.project);
  if (result.note !== undefined) say(`${name}: ${result.note}`);
  return { name, seconds: (performance.now() - startMs) / 1000, ...result };
}

async function runCheck([tool, ...args]) {
  const { ok, note } = await run(binOf(tool), args, { cwd: ROOT, timeoutMs: CHECK_TIMEOUT_MS });
  return { tally: tallyOfCheck(ok), note };
}

async function runTests(project) {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-test-'));
  const file = join(directory, 'report.json');
  const args = ['run', '--project', project, '--reporter=default', '--reporter=json'];
  const env = {
    VITRINE_WITHOUT_BROWSER: options['without-browser'] ? '1' : '',
    VITRINE_WITHOUT_QEMU: options['without-qemu'] ? '1' : '',
  };
  try {
    const { ok, note } = await run(binOf('vitest'), [...args, `--outputFile.json=${file}`], {
      cwd: ROOT,
      env,
      timeoutMs: LANE_TIMEOUT_MS,
    });
    const report = existsSync(file) ? JSON.parse(await readFile(file, 'utf8')) : undefined;
    return { tally: tallyOfVitest(report, ok), failures: failuresOf(report), note };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Says again what failed, then prints the table and the closing line; the exit code. */
function close(results) {
  const failures = results.flatMap(({ failures = [] }) => failures);
  if (failures.length > 0) title('failed');
  for (const failure of failures) say(`${failure.replace(`${ROOT}`, '')}\n`);
  title('summary');
  for (const { name, tally, seconds, note } of results) {
    const time = seconds === undefined ? '' : ` in ${seconds.toFixed(1)} s`;
    say(`${name.padEnd(10)} ${lineOf(tally)}${time}${note === undefined ? '' : ` (${note})`}`);
  }
  const left = LANES.filter((lane) => !results.some(({ name }) => name === lane.name));
  for (const { name } of left) say(`${name.padEnd(10)} LEFT OUT, as asked`);
  const sum = sumOf(results.map(({ tally }) => tally));
  if (sum.passed + sum.failed === 0) sum.failed = 1;
  say(closingLineOf(sum));
  return sum.failed === 0 ? 0 : 1;
}

function binOf(tool) {
  return join(ROOT, 'node_modules', '.bin', tool);
}

function title(text) {
  say(`\n── ${text} ${'─'.repeat(Math.max(0, 76 - text.length))}`);
}

function say(text) {
  process.stdout.write(`${text}\n`);
}
