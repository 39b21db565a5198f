// Runs in the page: live captures on its own thread, and in a worker.

import wasmUrl from 'v86/build/v86.wasm?url';
import { type LiveCaptures, liveCaptures } from './live-captures.ts';

const livePage = {
  onPage(rings: readonly number[]): Promise<LiveCaptures> {
    return liveCaptures(wasmUrl, rings);
  },

  inWorker(rings: readonly number[]): Promise<LiveCaptures> {
    const worker = new Worker(new URL('./live-worker.ts', import.meta.url), { type: 'module' });
    const url = new URL(wasmUrl, location.href).href;
    return new Promise<LiveCaptures>((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }: MessageEvent<LiveCaptures | { failed: string }>) =>
        'failed' in data ? reject(new Error(data.failed)) : resolve(data);
      worker.postMessage({ wasmUrl: url, rings });
    }).finally(() => worker.terminate());
  },
};

export type LivePage = typeof livePage;
Object.assign(globalThis, { livePage });
