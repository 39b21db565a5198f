// The kernels on a page and in a worker, with what test/browser/kernel.test.ts asks of them. The file is its own
// worker: what runs in both is one function.

import { toHex } from '../../../src/base/bytes.ts';
import { isVitrineError } from '../../../src/base/error.ts';
import { type KernelOptions, loadKernels } from '../../../src/kernel/index.ts';

/** What can be sent to a worker. */
export type ProbeOptions = Pick<KernelOptions, 'build' | 'shared'>;

/** What the loaded kernels are and what they make of bytes, or the code of the error. */
export type Probe =
  | {
      readonly build: string;
      readonly isShared: boolean;
      readonly digest: string;
      readonly different: number;
    }
  | { readonly code: string };

/** What the page offers to the test. */
export interface KernelPage {
  onPage(options: ProbeOptions, bytes: readonly number[]): Promise<Probe>;
  inWorker(options: ProbeOptions, bytes: readonly number[]): Promise<Probe>;
}

interface Request {
  readonly options: ProbeOptions;
  readonly bytes: readonly number[];
}

if ('document' in globalThis) {
  const page: KernelPage = {
    onPage: (options, bytes) => probe({ options, bytes }),
    inWorker(options, bytes) {
      const worker = new Worker(new URL('./kernel.ts', import.meta.url), { type: 'module' });
      return new Promise<Probe>((resolve, reject) => {
        worker.onmessage = ({ data }: MessageEvent<Probe>) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage({ options, bytes } satisfies Request);
      }).finally(() => worker.terminate());
    },
  };
  Object.assign(globalThis, { kernelPage: page });
} else {
  globalThis.onmessage = async ({ data }: MessageEvent<Request>) => globalThis.postMessage(await probe(data));
}

async function probe({ options, bytes }: Request): Promise<Probe> {
  try {
    const kernels = await loadKernels(options);
    const { arena, build } = kernels;
    const [a, b, out] = [arena.allocate(bytes.length), arena.allocate(bytes.length), arena.allocate(32)];
    arena.bytes(a, bytes.length).set(bytes);
    arena.bytes(b, bytes.length).set(bytes);
    arena.bytes(b, bytes.length)[bytes.length - 1]! ^= 1;
    const different = kernels.comparePages(a, b, 256, bytes.length / 256, out);
    kernels.digestPages(a, bytes.length, 1, out);
    const isShared =
      typeof SharedArrayBuffer !== 'undefined' && arena.memory.buffer instanceof SharedArrayBuffer;
    return { build, isShared, digest: toHex(arena.bytes(out, 32)), different };
  } catch (error) {
    if (isVitrineError(error)) return { code: error.code };
    throw error;
  }
}
