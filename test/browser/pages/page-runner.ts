// The little of a test runner that a contract suite needs, in a page: it collects tests, runs them one after another
// and tells how each ended.

/** How one test ended; `error` is absent when it passed. */
export interface PageResult {
  readonly title: string;
  readonly error?: string;
}

/** Runs what `declare` declares with the functions it is given. */
export async function runInPage(declare: (api: PageTestApi) => void): Promise<PageResult[]> {
  const tests: { title: string; body: () => Promise<void> }[] = [];
  let group = '';
  declare({
    describe(name, body) {
      group = name;
      body();
    },
    it: (name, body) => void tests.push({ title: `${group} > ${name}`, body }),
    expect: (actual) => ({
      toBe: (expected) => check(Object.is(actual, expected), actual, expected),
      toEqual: (expected) => check(isSame(actual, expected), actual, expected),
    }),
  });
  const results: PageResult[] = [];
  for (const { title, body } of tests) {
    try {
      await body();
      results.push({ title });
    } catch (error) {
      results.push({ title, error: error instanceof Error ? (error.stack ?? String(error)) : String(error) });
    }
  }
  return results;
}

export interface PageTestApi {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>, timeoutMs?: number): void;
  expect(actual: unknown): { toBe(expected: unknown): void; toEqual(expected: unknown): void };
}

function check(holds: boolean, actual: unknown, expected: unknown): void {
  if (!holds) throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

/** Equality of what suites compare: plain values and arrays of them. */
function isSame(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return Object.is(a, b);
  return a.length === b.length && a.every((one, i) => isSame(one, b[i]));
}
