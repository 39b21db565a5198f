// Runs in the page: workers that fail to start, fail later, die or are ended, and what becomes of the calls they owe.

import { isVitrineError } from '../../../src/base/error.ts';
import type { Progress } from '../../../src/base/work.ts';
import { openVitrineWorker } from '../../../src/open-vitrine-worker.ts';
import { startGuest } from '../../../src/rpc/guest-client.ts';
import { supervise } from '../../../src/rpc/supervision.ts';
import type { FRAGILE } from './rpc-fragile.ts';

const MEMORY = { kind: 'memory' } as const;
const MIB = 2 ** 20;

/** Where the guest is tracked; in the engine's worker it is one in shared memory. */
type Track = 'guest' | 'engine';

const openThrowing = () => new Worker(new URL('./rpc-throws.ts', import.meta.url), { type: 'module' });
const openFragile = () => new Worker(new URL('./rpc-fragile.ts', import.meta.url), { type: 'module' });
const openGuestWorker = () => new Worker(new URL('./rpc-guest.ts', import.meta.url), { type: 'module' });
const openEngineWorker = () =>
  new Worker(new URL('../../../workers/engine.ts', import.meta.url), { type: 'module' });

/** `ok`, or the code and reason of what was thrown. */
function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'ok',
    (error: unknown) => {
      if (!isVitrineError(error)) return `other: ${String(error)}`;
      const { reason } = error.data;
      return reason === undefined ? error.code : `${error.code} ${String(reason)}`;
    },
  );
}

const rpcPage = {
  /** What waiting for a worker gives that throws while it is loaded, and one whose file is not there. */
  starts(): Promise<string[]> {
    const missing = new Worker('/no-such-worker.js', { type: 'module' });
    return Promise.all([outcome(supervise(openThrowing())), outcome(supervise(missing))]);
  },

  /** What two calls under way and a later one give when their worker ends. */
  async calls(end: 'die' | 'fail' | 'terminate' | 'kill'): Promise<string[]> {
    const worker = openFragile();
    const supervised = await supervise<typeof FRAGILE>(worker);
    const { api } = supervised;
    const before = await api.echo(7);
    const underWay = [outcome(api.wait()), outcome(api.wait())];
    if (end === 'terminate') supervised.terminate();
    // Behind the supervisor's back.
    else if (end === 'kill') worker.terminate();
    else underWay.push(outcome(api[end]()));
    const ended = await Promise.all(underWay);
    const { code } = await supervised.lost;
    return [String(before), ...ended, await outcome(api.echo(8)), code];
  },

  /** A guest dies while it is being saved: what the save gives, and whether the engine still serves. */
  async guestDies(track: Track): Promise<string[]> {
    const engine = await openVitrineWorker({ store: MEMORY });
    const options = { sizeBytes: MIB, shared: track === 'engine' };
    const open = () => startGuest(openGuestWorker(), { name: 'flat', options });
    const guest = await open();
    const machine = await guest.join(engine, 'flat', { track });
    const { snapshot } = await machine.save();
    await guest.write('die');
    const saved = await outcome(machine.save({ full: true }));
    const { code } = await guest.lost;
    // The name is free again as soon as the engine has let the machine go.
    const heir = await open();
    let joined = await outcome(heir.join(engine, 'flat', { track }));
    while (joined === 'busy') joined = await outcome(heir.join(engine, 'flat', { track }));
    const log = await engine.log();
    await heir.close();
    await engine.close();
    return [saved, code, joined, log.length === 1 && log[0]?.id === snapshot.id ? 'kept' : 'not kept'];
  },

  /** The engine's worker dies in the middle of a save: what the calls give, and whether the guest runs on. */
  async engineDies(track: Track): Promise<string[]> {
    const worker = openEngineWorker();
    const engine = await openVitrineWorker({ store: MEMORY, worker });
    const options = { sizeBytes: 16 * MIB, shared: track === 'engine' };
    const guest = await startGuest(openGuestWorker(), { name: 'flat', options });
    const machine = await guest.join(engine, 'flat', { track });
    let died = false;
    const onProgress = () => {
      if (!died) worker.terminate();
      died = true;
    };
    const calls = await Promise.all([outcome(machine.save({ onProgress })), outcome(engine.log())]);
    const said = new Promise<string>((resolve) => void guest.onOutput(resolve));
    await guest.write('run');
    const runsOn = (await said).startsWith('1000 steps') ? 'runs on' : 'stopped';
    await guest.close();
    return [calls[0]!, await outcome(engine.log()), (await engine.lost).code, runsOn];
  },

  /** A save that is given up at its first report, one given up before it began, and one that is let end. */
  async aborts(): Promise<{ outcomes: string[]; phases: string[]; snapshots: number }> {
    const engine = await openVitrineWorker({ store: MEMORY });
    const guest = await startGuest(openGuestWorker(), { name: 'flat', options: { sizeBytes: 16 * MIB } });
    const machine = await guest.join(engine, 'flat');
    const early = outcome(machine.save({ signal: AbortSignal.abort() }));
    const controller = new AbortController();
    const late = outcome(machine.save({ signal: controller.signal, onProgress: () => controller.abort() }));
    const outcomes = [await early, await late];
    const phases = new Set<Progress['phase']>();
    outcomes.push(await outcome(machine.save({ onProgress: ({ phase }) => phases.add(phase) })));
    const snapshots = (await engine.log()).length;
    await guest.close();
    await engine.close();
    await engine.close();
    return { outcomes, phases: [...phases], snapshots };
  },

  /**
   * Live saves of a guest with a barrier: one let end, one given up and one whose engine dies while its pages are captured;
   * what they give, and whether the guest then serves another engine.
   */
  async liveSaves(): Promise<string[]> {
    const options = { sizeBytes: 64 * MIB, barrier: true };
    const guest = await startGuest(openGuestWorker(), { name: 'flat', options });
    const heard: ((text: string) => void)[] = [];
    await guest.onOutput((text) => heard.shift()?.(text));
    const live = { bufferBytes: MIB };
    const worker = openEngineWorker();
    const engine = await openVitrineWorker({ store: MEMORY, worker });
    const machine = await guest.join(engine, 'flat', { track: 'guest' });
    const modes = [(await machine.save({ live })).live?.mode ?? 'none'];
    modes.push((await machine.save()).live?.mode ?? 'none');
    await guest.write('run');
    await guest.write('tell');
    /** Resolves when devices are saved: the barrier is armed next, and then all pages are looked at. */
    const inCapture = () => new Promise<string>((resolve) => heard.push(resolve));
    const controller = new AbortController();
    const givenUp = outcome(machine.save({ live, full: true, signal: controller.signal }));
    await inCapture();
    controller.abort();
    const outcomes = [await givenUp];
    const lost = outcome(machine.save({ live, full: true }));
    await inCapture();
    worker.terminate();
    outcomes.push(await lost);
    const heir = await openVitrineWorker({ store: MEMORY });
    const again = await guest.join(heir, 'flat', { track: 'guest' });
    modes.push((await again.save({ live })).live?.mode ?? 'none');
    await guest.close();
    await heir.close();
    return [...modes, ...outcomes];
  },

  /** A reset without a checkpoint; what the guest says after the checkpoint and after each reset; one that was dropped. */
  async resets(): Promise<{ early: string; said: string[]; pagesWritten: number[]; late: string }> {
    const engine = await openVitrineWorker({ store: MEMORY });
    const guest = await startGuest(openGuestWorker(), { name: 'flat', options: { sizeBytes: MIB } });
    const machine = await guest.join(engine, 'flat');
    const heard: ((text: string) => void)[] = [];
    await guest.onOutput((text) => heard.shift()?.(text));
    const run = async (): Promise<string> => {
      const said = new Promise<string>((resolve) => heard.push(resolve));
      await guest.write('run');
      return said;
    };
    const early = await outcome(machine.reset());
    await machine.checkpoint();
    const said = [await run()];
    const pagesWritten: number[] = [];
    for (let round = 0; round < 3; round++) {
      if (round === 1) await machine.save();
      pagesWritten.push((await machine.reset()).pagesWritten);
      said.push(await run());
    }
    await machine.dropCheckpoint();
    const late = await outcome(machine.reset());
    await guest.close();
    await engine.close();
    return { early, said, pagesWritten, late };
  },
};

export type RpcPage = typeof rpcPage;
Object.assign(window, { rpcPage });
