// The engine's worker: which implementations it is made of, and nothing else.
import { loadCodecs } from '../src/codec/load.ts';
import { openEngine } from '../src/engine/vitrine.ts';
import { loadKernels } from '../src/kernel/load.ts';
import { EngineHost } from '../src/rpc/engine-host.ts';
import { serve } from '../src/rpc/ready.ts';
import { openWebLock } from '../src/rpc/web-lock.ts';
import { openIdbStore } from '../src/store/idb-store.ts';
import { openMemoryStore } from '../src/store/memory-store.ts';

serve(
  new EngineHost(async (spec) => {
    const [kernels, codecs] = await Promise.all([loadKernels(), loadCodecs()]);
    const store = spec.kind === 'idb' ? await openIdbStore(spec.name) : openMemoryStore();
    const lock = spec.kind === 'idb' ? openWebLock(spec.name) : undefined;
    const engine = await openEngine({ store, kernels, codecs, ...(lock === undefined ? {} : { lock }) });
    const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
    const info = { kernels: kernels.build, crossOriginIsolated: isolated, store: store.traits };
    return { engine, info, openKernels: loadKernels };
  }),
);
