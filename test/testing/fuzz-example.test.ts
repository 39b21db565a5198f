// The fuzzing example does what its first lines promise.

import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../src/kernel/load.ts';
import { openAsking, openPutBack } from '../../src/testing/fuzz-runs.ts';
import {
  FUZZ_ASKING_SOURCE,
  FUZZ_INPUT,
  FUZZ_TARGET_SOURCE,
  fuzzAskingModule,
  fuzzTargetModule,
} from '../../src/testing/fuzz-target.ts';
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
  it.each([
    ['target', fuzzTargetModule, FUZZ_TARGET_SOURCE],
    ['program that asks', fuzzAskingModule, FUZZ_ASKING_SOURCE],
  ])('has a %s that is what its source assembles to', (_, module, source) => {
    expect(Buffer.from(module()).toString('base64')).toBe(Buffer.from(wat(source)).toString('base64'));
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

  it('finds the same with a program that chooses its own point, which is put back for each document', async () => {
    for (let seed = seedOfRun(); seed < seedOfRun() + 3; seed++) {
      const host = await fuzzExample({ seed });
      const program = await fuzzExample({ seed, point: 'program' });
      expect(program, `SEED=${seed}`).toMatchObject({
        runs: host.runs,
        crasher: host.crasher,
        corpus: host.corpus,
        // The last one trapped before it could ring.
        resetsAsked: host.runs - 1,
      });
      expect(host.resetsAsked).toBe(0);
    }
  });

  it.each([
    ['host', openPutBack],
    ['program', openAsking],
  ])('starts every document from one point, which the %s chose, after a trap too', async (_, open) => {
    const crash = Uint8Array.of(0x56, 0x54, 0x52, 2, 0x80, ...new Uint8Array(128).fill(1));
    const good = Uint8Array.of(0x56, 0x54, 0x52, 1, 2, 9, 9);
    const target = await open(() => loadKernels());
    const alone = target.run(good);
    // Branches 1 to 4: the three letters, and a blob.
    expect(alone).toBe(0b11110);
    // Many more than it would take without being put back; nothing of one is left for the next.
    for (let round = 0; round < 40; round++) {
      expect(target.run(Uint8Array.of(0))).toBe(0);
      expect(() => target.run(crash)).toThrow(WebAssembly.RuntimeError);
      expect(target.run(good)).toBe(alone);
    }
    await target.close();
  });
});
