// Counts of tests, added up over all runners. A runner's own word is taken for tests it ran; what it could not run
// counts as a failure, so that nothing passes by not happening.

/** Nothing counted yet. */
export function emptyTally() {
  return { passed: 0, failed: 0, skipped: 0 };
}

/** The sum of tallies. */
export function sumOf(tallies) {
  const sum = emptyTally();
  for (const { passed, failed, skipped } of tallies) {
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
  }
  return sum;
}

/** The tally of a command that is one check. */
export function tallyOfCheck(ok) {
  return { ...emptyTally(), [ok ? 'passed' : 'failed']: 1 };
}

/**
 * The tally of a vitest run: its JSON report (undefined when there is none) and whether it ended well.
 *
 * A file that could not be loaded has no tests in the report and is one failure; so is a run that failed without
 * a failing test (an error that nobody caught), and one in which no test ran at all.
 */
export function tallyOfVitest(report, ok) {
  const tally = emptyTally();
  for (const file of report?.testResults ?? []) {
    const tests = file.assertionResults ?? [];
    if (tests.length === 0 && file.status === 'failed') tally.failed++;
    for (const { status } of tests) {
      if (status === 'passed') tally.passed++;
      else if (status === 'failed') tally.failed++;
      else tally.skipped++;
    }
  }
  const ran = tally.passed + tally.failed > 0;
  if (tally.failed === 0 && (!ok || !ran)) tally.failed++;
  return tally;
}

/** How much of a failure's message is said again at the end: enough to see what was expected, and where. */
const REASON_LINES = 12;
const REASON_CHARACTERS = 1200;

/** What failed in a vitest run, a paragraph each: file, test, and the beginning of the reason. */
export function failuresOf(report) {
  const failures = [];
  for (const { name, status, message, assertionResults = [] } of report?.testResults ?? []) {
    if (assertionResults.length === 0 && status === 'failed')
      failures.push(paragraph(name, '(did not load)', message));
    for (const test of assertionResults) {
      if (test.status !== 'failed') continue;
      failures.push(paragraph(name, test.fullName, (test.failureMessages ?? []).join('\n')));
    }
  }
  return failures;
}

function paragraph(file, test, reason = '') {
  const lines = reason.slice(0, REASON_CHARACTERS).split('\n').slice(0, REASON_LINES);
  return [`${file}: ${test}`, ...lines.map((line) => `  ${line}`)].join('\n');
}

/** `12 passed, 0 failed`: the closing line. */
export function closingLineOf({ passed, failed }) {
  return `${passed} passed, ${failed} failed`;
}

/** Of a lane: as the closing line, and what was skipped if anything was. */
export function lineOf(tally) {
  const { skipped } = tally;
  return `${closingLineOf(tally)}${skipped === 0 ? '' : `, ${skipped} skipped`}`;
}
