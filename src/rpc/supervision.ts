// A worker and the calls it owes an answer. A Comlink call never settles once its worker is gone; here each call
// ends with `worker-lost` when the worker fails, is terminated, or dies without a word.
//
// How a silent death is noticed: the worker holds a Web Lock of its own name for as long as it lives, and the platform
// hands the lock to the supervisor when it does not. Where there are no Web Locks only errors and `terminate` count.

import { type Remote, wrap } from 'comlink';
import { VitrineError } from '../base/error.ts';
import { installErrorTransfer } from './error-transfer.ts';

/** How long a worker may take to say that it runs: a slow machine compiling the page's largest module. */
const START_TIMEOUT_MS = 20_000;

/** The first message of a supervised worker to its owner. */
export interface WorkerReady {
  readonly vitrine: 'ready';
  /** The lock it holds, or null where the platform has none. */
  readonly lock: string | null;
}

/** A worker under supervision. */
export interface SupervisedWorker<Api> {
  /** The worker's API; every call settles. */
  readonly api: Remote<Api>;
  /** Resolves with the reason when the worker is gone. */
  readonly lost: Promise<VitrineError>;
  /** Ends the worker; calls under way are rejected with `worker-lost`. */
  terminate(): void;
}

/**
 * Waits for `worker` to be ready and supervises it.
 *
 * Throws `worker-start` when it fails before it is ready or does not answer within 20 seconds.
 */
export async function supervise<Api>(worker: Worker): Promise<SupervisedWorker<Api>> {
  installErrorTransfer();
  const ready = await waitUntilReady(worker);
  let declareLost: (reason: VitrineError) => void = () => {};
  const lost = new Promise<VitrineError>((resolve) => {
    declareLost = resolve;
  });
  // What is declared lost is ended: half a worker would go on holding its lock and its store.
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    worker.terminate();
    declareLost(
      new VitrineError('worker-lost', { reason: 'error' }, { cause: event.error ?? event.message }),
    );
  });
  worker.addEventListener('messageerror', () => {
    worker.terminate();
    declareLost(new VitrineError('worker-lost', { reason: 'messageerror' }));
  });
  const watch = new AbortController();
  if (ready.lock !== null) {
    navigator.locks
      .request(ready.lock, { mode: 'exclusive', signal: watch.signal }, () => {
        declareLost(new VitrineError('worker-lost', { reason: 'died' }));
      })
      .catch(() => {});
  }
  return {
    api: settling(wrap<Api>(worker), lost),
    lost,
    terminate(): void {
      watch.abort();
      worker.terminate();
      declareLost(new VitrineError('worker-lost', { reason: 'terminated' }));
    },
  };
}

/** A proxy whose calls end when `lost` resolves. The API is flat: methods alone, no nested objects. */
export function settling<Api>(remote: Remote<Api>, lost: Promise<VitrineError>): Remote<Api> {
  const failure = lost.then((reason) => {
    throw reason;
  });
  failure.catch(() => {});
  return new Proxy(remote as object, {
    get(target, name) {
      if (name === 'then') return undefined;
      const member: unknown = Reflect.get(target, name);
      if (typeof name === 'symbol' || typeof member !== 'function') return member;
      return (...parameters: unknown[]) => Promise.race([Reflect.apply(member, target, parameters), failure]);
    },
  }) as Remote<Api>;
}

async function waitUntilReady(worker: Worker): Promise<WorkerReady> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      worker.removeEventListener('message', onMessage);
      worker.removeEventListener('error', onError);
      settle();
    };
    const fail = (reason: string, cause?: unknown): void =>
      end(() => {
        worker.terminate();
        reject(new VitrineError('worker-start', { reason }, { cause }));
      });
    const onMessage = (event: MessageEvent<Partial<WorkerReady>>): void => {
      const { vitrine, lock } = event.data ?? {};
      if (vitrine === 'ready') end(() => resolve({ vitrine, lock: lock ?? null }));
    };
    const onError = (event: ErrorEvent): void => {
      event.preventDefault();
      fail(event.message || 'the worker file could not be loaded', event.error);
    };
    const timer = setTimeout(() => fail('timeout'), START_TIMEOUT_MS);
    worker.addEventListener('message', onMessage);
    worker.addEventListener('error', onError);
  });
}
