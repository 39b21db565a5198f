// The fuzzing example does what its first lines promise.

import { describe, expect, it } from 'vitest';
import { FUZZ_INPUT, FUZZ_TARGET_SOURCE, fuzzTargetModule } from '../../src/testing/fuzz-target.ts';
import { fuzzExample } from '../../src/testing/index.ts';
import { seedOfRun } from '../support/seed.ts';
import { wat } from '../support/wat.ts';

interface Target {
  readonly memory: WebAssembly.Memory;
  parse(lengthBytes: number): number;
}

/** A program of its own, with a document in it. */
function load(document: Uint8Array): Target {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(fuzzTargetModule()));
  // Safe: the module exports just these.
  const target = instance.exports as unknown as Target;
  new Uint8Array(target.memory.buffer).set(document, FUZZ_INPUT.offsetBytes);
  return target;
}

describe('the fuzzing example', () => {
  it('has a target that is what its source assembles to', () => {
    expect(Buffer.from(fuzzTargetModule()).toString('base64')).toBe(
      Buffer.from(wat(FUZZ_TARGET_SOURCE)).toString('base64'),
    );
  });

  it('finds the planted bug with any seed, and its crasher crashes a fresh program', async () => {
    for (let seed = seedOfRun(); seed < seedOfRun() + 3; seed++) {
      const lines: string[] = [];
      const { crasher, corpus, runs } = await fuzzExample({ seed, print: (line) => lines.push(line) });
      expect(crasher, `SEED=${seed}`).not.toBe(null);
      expect(() => load(crasher!).parse(crasher!.length)).toThrow(WebAssembly.RuntimeError);
      for (const document of corpus) expect(load(document).parse(document.length)).toBeGreaterThanOrEqual(-3);
      expect(lines.at(-1)).toMatch(
        new RegExp(`^${runs} documents in \\d+ ms: \\d+ resets a second, seed ${seed}$`),
      );
      // Sixteen documents are all that the program takes without a reset.
      expect(runs).toBeGreaterThan(16);
    }
  });

  it('does the same with the same seed, and gives up when told', async () => {
    const first = await fuzzExample({ seed: 7 });
    const again = await fuzzExample({ seed: 7 });
    expect([again.runs, again.crasher]).toEqual([first.runs, first.crasher]);
    expect(await fuzzExample({ seed: 7, maxRuns: first.runs - 1 })).toMatchObject({ crasher: null });
  });
});
