// The captures of `live-captures.ts` in a worker, as guests usually run.

import { liveCaptures } from './live-captures.ts';

addEventListener('message', ({ data }: MessageEvent<{ wasmUrl: string; rings: readonly number[] }>) => {
  liveCaptures(data.wasmUrl, data.rings).then(
    (captures) => postMessage(captures),
    (error: unknown) => postMessage({ failed: String(error) }),
  );
});
