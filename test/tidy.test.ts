// The rules of this repository that a machine can hold, as tests. Each message says what to do instead; the rules
// themselves are in test/tidy/. Each is shown to bite on a small sample, since a rule that never fires holds nothing.

import { describe, expect, it } from 'vitest';
import { bannedProblems } from './tidy/banned.ts';
import { errorCodeProblems } from './tidy/error-codes.ts';
import {
  fileProblems,
  folderProblems,
  hygieneProblems,
  leftoverProblems,
  linkProblems,
  topLevelProblems,
} from './tidy/files.ts';
import { importProblems } from './tidy/imports.ts';
import { listPaths, readTexts } from './tidy/tree.ts';

const paths = listPaths();
const files = readTexts(paths);
const sources = files.filter(({ path }) => /^(src|workers)\/.*\.ts$/.test(path));

describe('the repository', () => {
  it('is read at all', () => {
    expect(sources.length).toBeGreaterThan(50);
  });

  it('imports downward only, ports where ports are enough, each package in one place', () => {
    expect(sources.flatMap(importProblems)).toEqual([]);
  });

  it('does without banned calls', () => {
    expect(files.filter(({ path }) => !isRule(path)).flatMap(bannedProblems)).toEqual([]);
  });

  it('has files of one noun each that say what they are', () => {
    expect(files.flatMap(fileProblems)).toEqual([]);
  });

  it('has folders that say what they are for', () => {
    expect(folderProblems(paths)).toEqual([]);
  });

  it('has documents whose links lead somewhere', () => {
    const known = new Set(paths);
    expect(files.flatMap((file) => linkProblems(file, known))).toEqual([]);
  });

  it('has the fixed top level', () => {
    expect(topLevelProblems(paths)).toEqual([]);
  });

  it('has nothing left behind', () => {
    expect(leftoverProblems(paths)).toEqual([]);
  });

  it('throws the codes of its table, all of them and no others', () => {
    expect(errorCodeProblems(sources)).toEqual([]);
  });

  it('tells nothing of the machine it was written on', () => {
    expect(files.flatMap(hygieneProblems)).toEqual([]);
  });
});

describe('the rules bite:', () => {
  const imports = (path: string, text: string) => importProblems({ path, text }).length;
  const banned = (path: string, text: string) => bannedProblems({ path, text }).length;
  const hygiene = (text: string) => hygieneProblems({ path: 'README.md', text }).length;

  it('imports', () => {
    expect(imports('src/base/a.ts', "import { b } from '../memory/b.ts';")).toBe(1);
    expect(imports('src/memory/a.ts', "import { b } from '../base/b.ts';")).toBe(0);
    expect(imports('src/engine/a.ts', "import type { b } from '../kernel/load.ts';")).toBe(1);
    expect(imports('src/engine/a.ts', "import type { b } from '../kernel/kernels.ts';")).toBe(0);
    expect(imports('src/engine/a.ts', "const b = await import('../store/idb-store.ts');")).toBe(1);
    expect(imports('src/store/a.ts', "import { b } from '../guest/guest.ts';")).toBe(1);
    expect(imports('src/tracking/a.ts', "import { b } from '../guest/guest.ts';")).toBe(0);
    expect(imports('src/rpc/a.ts', "import { b } from '../index.ts';")).toBe(1);
    expect(imports('src/rpc/a.ts', "import { b } from '../../test/b.ts';")).toBe(1);
    expect(imports('src/unheard-of/a.ts', "import { b } from '../base/b.ts';")).toBe(1);
    expect(imports('workers/a.ts', "import { b } from '../src/rpc/b.ts';")).toBe(0);
    expect(imports('workers/a.ts', "import { b } from '../test/b.ts';")).toBe(1);
  });

  it('packages', () => {
    expect(imports('src/store/fs-store.ts', "import { open } from 'node:fs/promises';")).toBe(0);
    expect(imports('src/store/idb-store.ts', "import { open } from 'node:fs/promises';")).toBe(1);
    expect(imports('src/engine/a.ts', "import { wrap } from 'comlink';")).toBe(1);
    expect(imports('src/base/a.ts', "import { pad } from 'left-pad';")).toBe(1);
    expect(imports('src/base/a.ts', "// import { wrap } from 'comlink';")).toBe(0);
  });

  it('banned calls', () => {
    expect(banned('src/engine/a.ts', 'const x = Math.random();')).toBe(1);
    expect(banned('src/engine/a.ts', 'const x = performance.now();')).toBe(1);
    expect(banned('src/app/a.ts', 'const x = performance.now();')).toBe(0);
    expect(banned('src/engine/a.ts', '/* console.log(1) */ // Math.random()')).toBe(0);
    expect(banned('src/engine/a.ts', "export * from './b.ts';")).toBe(1);
    expect(banned('src/engine/a.ts', 'export default 1;')).toBe(1);
    expect(banned('src/engine/a.ts', 'const x = y as any;')).toBe(1);
    const reason = '// biome-ignore lint/suspicious/noExplicitAny: an untyped emulator enters.';
    expect(banned('src/engine/a.ts', `${reason}\nconst x = y as any;`)).toBe(0);
    expect(banned('src/engine/a.ts', '// @ts-ignore')).toBe(1);
    expect(banned('src/engine/a.ts', '// @ts-expect-error -- a reason')).toBe(0);
    expect(banned('test/a.test.ts', 'await new Promise((resolve) => setTimeout(resolve, 5));')).toBe(1);
    expect(
      banned('test/a.ts', 'while (!up()) {\nawait new Promise((resolve) => setTimeout(resolve, 5));'),
    ).toBe(0);
    expect(banned('test/a.test.ts', "it.only('x', () => {});")).toBe(1);
    expect(banned('test/a.test.ts', "it.skip('x', () => {});")).toBe(1);
    expect(banned('test/a.test.ts', "// Why not.\nit.skip('x', () => {});")).toBe(0);
  });

  it('files, folders and the top level', () => {
    const look = (path: string, text: string) => fileProblems({ path, text }).length;
    expect(look('src/base/bytes.ts', '// Bytes.\n')).toBe(0);
    expect(look('src/base/bytes.ts', 'export const a = 1;\n')).toBe(1);
    expect(look('src/base/string-utils.ts', '// Strings.\n')).toBe(1);
    expect(look('src/base/types.ts', '// Types.\n')).toBe(1);
    expect(look('src/base/long.ts', `// Long.\n${'\n'.repeat(400)}`)).toBe(1);
    expect(look('src/base/README.md', '\n'.repeat(60))).toBe(0);
    expect(look('src/base/README.md', '\n'.repeat(61))).toBe(1);
    expect(look('README.md', '\n'.repeat(61))).toBe(0);
    expect(look('workers/engine.ts', '// Root.\nexport const a = 1;\n')).toBe(1);
    expect(folderProblems(['src/base/a.ts', 'src/guest/v86/b.ts', 'src/guest/README.md'])).toHaveLength(2);
    expect(topLevelProblems(['docs/a.md', 'src/README.md'])).toHaveLength(1);
    expect(
      leftoverProblems(['src/a.bak', 'src/b.ts~', 'test/z.test.ts', 'src/a.ts', 'test/zstd/a.ts']),
    ).toHaveLength(3);
  });

  it('links', () => {
    const known = new Set(['src/README.md', 'src/base/error.ts']);
    const links = (text: string) => linkProblems({ path: 'src/README.md', text }, known).length;
    expect(
      links('[a](base/error.ts) [b](base) [c](../src/README.md#x) [d](https://a.example) [e](#words)'),
    ).toBe(0);
    expect(links('![a](nothing.png) [b](../README.md)')).toBe(2);
  });

  it('error codes', () => {
    const path = 'src/engine/a.ts';
    const unknown = { path, text: "throw new VitrineError('no-such-code');" };
    expect(errorCodeProblems([unknown]).filter((problem) => problem.includes('no-such-code'))).toHaveLength(
      1,
    );
    const unused = (text: string) =>
      errorCodeProblems([{ path, text }]).filter((problem) => problem.includes("'busy'")).length;
    expect([unused(''), unused("throw new VitrineError('busy');"), unused("// 'busy'")]).toEqual([1, 0, 1]);
  });

  it('hygiene', () => {
    expect(hygiene(`see /${'work'}/a and /${'root'}/.npmrc and /${'home'}/me/x`)).toBe(3);
    expect(hygiene(`see /${'tmp'}/a`)).toBe(1);
    expect(hygiene(`https://registry.${'npmjs'}.org/x`)).toBe(1);
    expect(hygiene('src/work/a https://a.example/home/x a/tmp/b')).toBe(0);
  });
});

/** The rules name what they ban, and so do the samples above. */
function isRule(path: string): boolean {
  return path.startsWith('test/tidy');
}
