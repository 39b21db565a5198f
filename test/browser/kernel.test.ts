// The kernels in real Chromium, on a page and in a worker: isolated, not isolated, and where a policy forbids to
// compile WebAssembly.

import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLAKE3_VECTORS, vectorInput } from '../kernel/blake3-vectors.ts';
import { type Harness, openHarness } from './harness.ts';
import type { KernelPage, Probe, ProbeOptions } from './pages/kernel.ts';

declare const kernelPage: KernelPage;

const PATH = '/test/browser/pages/kernel.html';
const [VECTOR_BYTES, VECTOR_DIGEST] = BLAKE3_VECTORS.find(([lengthBytes]) => lengthBytes === 4096)!;

/** Headers of every file that is served; undefined takes one away. */
type Headers = Readonly<Record<string, string | undefined>>;

const NOT_ISOLATED: Headers = {
  'cross-origin-opener-policy': undefined,
  'cross-origin-embedder-policy': undefined,
};
const NO_WASM: Headers = { 'content-security-policy': "script-src 'self' 'unsafe-inline'" };

let harness: Harness;
beforeAll(async () => {
  harness = await openHarness();
});
afterAll(() => harness.close());

async function withPage(
  headers: Headers,
  use: (probe: (options: ProbeOptions) => Promise<Probe[]>) => Promise<void>,
) {
  const handler = async (route: Parameters<Parameters<Page['route']>[1]>[0]) => {
    const response = await route.fetch();
    const changed = Object.entries({ ...response.headers(), ...headers }).filter(
      ([, value]) => value !== undefined,
    );
    // Safe: what is undefined was just left out.
    await route.fulfill({ response, headers: Object.fromEntries(changed) as Record<string, string> });
  };
  await harness.context.route('**/*', handler);
  const page = await harness.open(PATH);
  try {
    await page.waitForFunction(() => 'kernelPage' in window);
    await use((options) =>
      page.evaluate(
        async ([options, bytes]) => [
          await kernelPage.onPage(options, bytes),
          await kernelPage.inWorker(options, bytes),
        ],
        [options, [...vectorInput(VECTOR_BYTES)]] as const,
      ),
    );
    expect(harness.pageErrors).toEqual([]);
  } finally {
    await page.close();
    await harness.context.unroute('**/*', handler);
  }
}

/** The same on the page and in the worker. */
function both(build: string, isShared: boolean): Probe[] {
  const probe = { build, isShared, digest: VECTOR_DIGEST, different: 1 };
  return [probe, probe];
}

describe('kernels in Chromium', () => {
  it('run as every build, with shared memory, where the page is isolated', () =>
    withPage({}, async (probe) => {
      expect(await probe({})).toEqual(both('simd', false));
      expect(await probe({ shared: true })).toEqual(both('simd', true));
      expect(await probe({ build: 'plain', shared: true })).toEqual(both('plain', true));
      expect(await probe({ build: 'plain' })).toEqual(both('plain', false));
      expect(await probe({ build: 'reference' })).toEqual(both('reference', false));
    }));

  it('run without shared memory, and say so, where it is not', () =>
    withPage(NOT_ISOLATED, async (probe) => {
      expect(await probe({})).toEqual(both('simd', false));
      expect(await probe({ shared: true })).toEqual([{ code: 'unsupported' }, { code: 'unsupported' }]);
    }));

  it('run as the reference where a policy forbids WebAssembly', () =>
    withPage(NO_WASM, async (probe) => {
      expect(await probe({})).toEqual(both('reference', false));
      expect(await probe({ build: 'simd' })).toEqual([
        { code: 'kernel-unavailable' },
        { code: 'kernel-unavailable' },
      ]);
    }));
});
