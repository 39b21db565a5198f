// Calls and constructs that this repository does without, each with what to write instead.

import { codeOf, matchesOf, type Problem, type SourceFile } from './tree.ts';

interface Ban {
  readonly pattern: RegExp;
  /** Where the rule holds. */
  readonly where: RegExp;
  /** Where it does not, with a reason in the file itself. */
  readonly except?: RegExp;
  readonly instead: string;
  /** What on one of the three lines above, or on the line itself, makes it right. */
  readonly allowed?: RegExp;
}

const ALL_CODE = /^(src|workers|test)\/.*\.(ts|mjs)$/;
const SOURCE = /^(src|workers)\/.*\.ts$/;
const TESTS = /^test\/.*\.ts$/;

const BANS: readonly Ban[] = [
  {
    pattern: /\bMath\.random\(/,
    where: ALL_CODE,
    instead: 'take a seeded source (src/testing/random.ts), or crypto.getRandomValues for names',
  },
  {
    pattern: /\b(Date\.now|performance\.now)\(|\bnew Date\(\)/,
    where: SOURCE,
    // Waiting, pacing and showing time at the edge; an emulator's own clock.
    except: /^src\/(base\/clock|engine\/pacing|rpc\/|app\/|host\/|guest\/v86\/)|^workers\//,
    instead: 'take a Clock as an argument, SYSTEM_CLOCK when left out',
  },
  {
    pattern: /(?<![.\w])console\.(log|info|warn|error|debug|trace|table)\(/,
    where: SOURCE,
    except: /^src\/(app|host)\//,
    instead: 'throw a VitrineError, or report through onProgress',
  },
  {
    pattern: /\bsetTimeout\(\s*(resolve|done|r)\b|waitForTimeout\(|timers\/promises/,
    where: TESTS,
    // A loop that asks again is no sleep.
    allowed: /\bwhile \(/,
    instead: 'wait for a condition (expect.poll, page.waitForFunction) or drive the clock',
  },
  { pattern: /^\s*export \*/, where: ALL_CODE, instead: 're-export by name' },
  {
    pattern: /^\s*export default\b/,
    where: ALL_CODE,
    except: /\.d\.ts$/,
    instead: 'export by name',
  },
  {
    pattern: /\bas any\b|:\s*any\b|<any>/,
    where: ALL_CODE,
    allowed: /biome-ignore lint\/suspicious\/noExplicitAny: \w/,
    instead: 'write the type, or unknown and a check',
  },
  {
    pattern: /\b(describe|it|test|bench)\.only\(/,
    where: TESTS,
    instead: 'run one file: npx vitest run --project unit path',
  },
];

/** What one file holds of the above. */
export function bannedProblems({ path, text }: SourceFile): Problem[] {
  const code = codeOf(text);
  return [
    ...BANS.filter(({ where, except }) => where.test(path) && except?.test(path) !== true).flatMap(
      ({ pattern, allowed, instead }) =>
        matchesOf(code, pattern)
          .filter(({ line }) => allowed?.test(linesAbove(text, line)) !== true)
          .map(({ line, match }) => `${path}:${line}: ${match[0].trim()} is not used here; ${instead}`),
    ),
    ...directiveProblems(path, text),
    ...skipProblems(path, code, text),
  ];
}

/** Compiler directives live in comments, so they are looked for in the whole text. */
function directiveProblems(path: string, text: string): Problem[] {
  if (!ALL_CODE.test(path)) return [];
  return matchesOf(text, /\/\/\s*@ts-(ignore|nocheck)\b|\/\/\s*@ts-expect-error(?!\s+\S)/).map(
    ({ line }) => `${path}:${line}: a silenced compiler; mend the type, or @ts-expect-error with the reason`,
  );
}

function linesAbove(text: string, line: number): string {
  return text
    .split('\n')
    .slice(Math.max(0, line - 4), line)
    .join('\n');
}

/** A test may be left out only for a reason that stands above it. */
function skipProblems(path: string, code: string, text: string): Problem[] {
  if (!TESTS.test(path)) return [];
  const lines = text.split('\n');
  return matchesOf(code, /\b(describe|it|test)\.(skip|skipIf|runIf|todo)\b/)
    .filter(({ line }) => !/^\s*(\/\/|\*|\/\*)/.test(lines[line - 2] ?? ''))
    .map(({ line, match }) => `${path}:${line}: ${match[0]} without a reason; say why in a comment above it`);
}
