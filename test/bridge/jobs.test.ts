// Jobs by themselves, and over connections that are lost: the work goes on, is found again, is never done twice.

import { describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import type { Progress, WorkOptions } from '../../src/base/work.ts';
import { newJobId } from '../../src/bridge/bridge-client.ts';
import type { LinkState } from '../../src/bridge/bridge-link.ts';
import { fullGrant, grantOf } from '../../src/bridge/grant.ts';
import { Jobs } from '../../src/bridge/jobs.ts';
import { openMemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { SwitchStore } from '../support/switch-store.ts';
import { openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';

/** Work that ends when it is told to. */
function heldWork() {
  let finish: (result: unknown) => void = () => {};
  let fail: (reason: unknown) => void = () => {};
  let runs = 0;
  let given: WorkOptions = {};
  const work = (options: WorkOptions): Promise<unknown> => {
    runs++;
    given = options;
    return new Promise((resolve, reject) => {
      finish = resolve;
      fail = reject;
      options.signal?.addEventListener('abort', () => reject(new VitrineError('aborted')));
    });
  };
  return {
    work,
    finish: (result: unknown) => finish(result),
    fail: (reason: unknown) => fail(reason),
    tell: (progress: Progress) => given.onProgress?.(progress),
    get runs() {
      return runs;
    },
  };
}

const REQUEST = { verb: 'save', machine: 'alpha', subject: 'tester' } as const;

describe('jobs', () => {
  it('run so many at a time, in order, and refuse what is too much', async () => {
    const jobs = new Jobs({ maxRunning: 2, maxQueued: 2 });
    const works = [1, 2, 3, 4].map(heldWork);
    const all = works.map(({ work }) => jobs.start(REQUEST, work));
    expect(all.map(({ state }) => state)).toEqual(['running', 'running', 'queued', 'queued']);
    expect(() => jobs.start(REQUEST, heldWork().work)).toThrow(/overloaded/);
    works[1]!.finish('second');
    expect(await all[1]!.result).toBe('second');
    await expect.poll(() => all[2]!.state).toBe('running');
    all[3]!.cancel();
    await expect(all[3]!.result).rejects.toMatchObject({ code: 'aborted' });
    works[0]!.finish(1);
    works[2]!.fail(new VitrineError('store-full'));
    await expect(all[2]!.result).rejects.toMatchObject({ code: 'store-full' });
    await jobs.settle();
    expect(all.map(({ state }) => state)).toEqual(['done', 'done', 'failed', 'cancelled']);
    expect(works[3]!.runs).toBe(0);
  });

  it('are found by their id and not begun twice', () => {
    const jobs = new Jobs();
    const held = heldWork();
    const id = newJobId();
    const job = jobs.start({ ...REQUEST, id }, held.work);
    expect(jobs.start({ ...REQUEST, id }, held.work)).toBe(job);
    expect(held.runs).toBe(1);
    expect(() => jobs.start({ ...REQUEST, id, verb: 'restore' }, held.work)).toThrow(/argument-invalid/);
    // Another subject's id is another job.
    expect(jobs.start({ ...REQUEST, id, subject: 'other' }, held.work)).not.toBe(job);
  });

  it('are forgotten when many have ended, never while they have not', async () => {
    const jobs = new Jobs({ maxEnded: 3 });
    const held = heldWork();
    const running = jobs.start(REQUEST, held.work);
    for (let i = 0; i < 10; i++) await jobs.start(REQUEST, async () => i).result;
    await expect.poll(() => jobs.list().filter(({ hasEnded }) => hasEnded).length).toBeLessThanOrEqual(4);
    expect(jobs.list()[0]).toBe(running);
    held.finish(0);
  });

  it('end when they are closed, and no more begin', async () => {
    const jobs = new Jobs({ maxRunning: 1 });
    const running = jobs.start(REQUEST, heldWork().work);
    const queued = jobs.start(REQUEST, heldWork().work);
    await jobs.close();
    expect([running.state, queued.state]).toEqual(['cancelled', 'cancelled']);
    expect(() => jobs.start(REQUEST, heldWork().work)).toThrow(/wrong-state/);
  });
});

/** A store that can be stopped from writing packs. */
function gatedStore(): { store: Store; close(): void; open(): void; puts: number } {
  const store = new SwitchStore(openMemoryStore());
  let gate: Promise<void> | null = null;
  let openGate: () => void = () => {};
  const gated = {
    store,
    puts: 0,
    close() {
      gate = new Promise((resolve) => {
        openGate = resolve;
      });
    },
    open() {
      gate = null;
      openGate();
    },
  };
  store.put = async (key, bytes) => {
    if (key.startsWith('packs/')) gated.puts++;
    await gate;
    return store.target.put(key, bytes);
  };
  return gated;
}

describe('a save over a lost connection', () => {
  it('goes on, is found again, and is saved once', async () => {
    const gate = gatedStore();
    const host = await openFlatHost({ alpha: 64 }, { store: gate.store });
    host.flat.get('alpha')!.guest.run(500);
    const connection = await connectTo(host);
    const states: LinkState['kind'][] = [];
    connection.client.onState(({ kind }) => states.push(kind));
    gate.close();
    const job = newJobId();
    const saving = connection.client.machine('alpha').save({ job, label: 'kept' });
    await expect.poll(() => gate.puts).toBe(1);
    connection.clientEnd.cut();
    await expect.poll(() => connection.connections).toBe(2);
    await expect.poll(() => connection.client.state.kind).toBe('open');
    expect(await connection.client.jobs()).toMatchObject([
      { id: job, verb: 'save', machine: 'alpha', state: 'running', error: null },
    ]);
    gate.open();
    const report = await saving;
    expect(report.snapshot.label).toBe('kept');
    expect(await connection.client.log()).toHaveLength(1);
    expect(states).toEqual(['waiting', 'connecting', 'open']);
    // Whoever asks later hears it too.
    expect(await connection.client.followJob(job)).toEqual(report);
    expect(await connection.client.jobs()).toMatchObject([{ id: job, state: 'done' }]);
  });

  it('whose answer alone was lost is found ended', async () => {
    const host = await openFlatHost({ alpha: 16 });
    const connection = await connectTo(host);
    await connection.client.machines();
    connection.hostEnd.hold();
    const saving = connection.client.machine('alpha').save();
    await expect.poll(async () => (await host.engine.log()).length).toBe(1);
    connection.clientEnd.cut();
    expect((await saving).snapshot.machine).toBe('alpha');
    expect(await host.engine.log()).toHaveLength(1);
  });

  it('is told apart from one of a host that was started anew', async () => {
    const gate = gatedStore();
    const host = await openFlatHost({ alpha: 16 }, { store: gate.store });
    const current = { ...host };
    const connection = await connectTo(current);
    gate.close();
    const job = newJobId();
    const saving = connection.client.machine('alpha').save({ job });
    await expect.poll(() => gate.puts).toBe(1);
    current.jobs = new Jobs();
    connection.clientEnd.cut();
    await expect(saving).rejects.toMatchObject({ code: 'connection-lost', data: { job } });
    gate.open();
    await host.jobs.settle();
  });

  it('can be given up while there is no connection', async () => {
    const gate = gatedStore();
    const host = await openFlatHost({ alpha: 16 }, { store: gate.store });
    let isDown = false;
    const down = new VitrineError('connection-lost');
    const verbs: string[] = [];
    const connection = await connectTo(host, {
      session: { onVerb: ({ verb }) => verbs.push(verb) },
      client: { wait: () => new Promise((next) => setImmediate(next)), backOff: { maxAttempts: 1e6 } },
      onConnect: () => {
        if (isDown) throw down;
      },
    });
    gate.close();
    const abort = new AbortController();
    const saving = connection.client.machine('alpha').save({ signal: abort.signal });
    await expect.poll(() => gate.puts).toBe(1);
    isDown = true;
    connection.clientEnd.cut();
    await expect.poll(() => connection.client.state.kind).not.toBe('open');
    abort.abort();
    await expect(saving).rejects.toMatchObject({ code: 'aborted' });
    isDown = false;
    // The host hears of it when there is a connection again.
    await expect.poll(() => verbs).toContain('cancel-job');
    gate.open();
    await expect.poll(() => host.jobs.list()[0]!.state).toBe('cancelled');
    expect(await host.engine.log()).toEqual([]);
  });
});

describe('jobs of a host', () => {
  it('are cancelled by their request, and leave no snapshot', async () => {
    const gate = gatedStore();
    const host = await openFlatHost({ alpha: 64 }, { store: gate.store });
    const { client } = await connectTo(host);
    gate.close();
    const abort = new AbortController();
    const saving = client.machine('alpha').save({ signal: abort.signal });
    await expect.poll(() => gate.puts).toBe(1);
    abort.abort();
    await client.machines();
    gate.open();
    await expect(saving).rejects.toMatchObject({ code: 'aborted' });
    expect(await client.log()).toEqual([]);
    expect(await client.jobs()).toMatchObject([{ state: 'cancelled', error: [{ code: 'aborted' }] }]);
    // No page was forgotten.
    const { snapshot } = await client.machine('alpha').save();
    expect(await client.verify(snapshot.id)).toMatchObject({ damagedCount: 0 });
  });

  it('are those of whoever may see their machine', async () => {
    const gate = gatedStore();
    const host = await openFlatHost({ alpha: 16, beta: 16 }, { store: gate.store });
    const operator = await connectTo(host, { grant: fullGrant('operator') });
    const student = await connectTo(host, {
      grant: grantOf('student', { beta: ['observe', 'peek', 'save'] }),
    });
    gate.close();
    const job = newJobId();
    const saving = operator.client.machine('alpha').save({ job });
    await expect.poll(() => gate.puts).toBe(1);
    const own = student.client.machine('beta').save();
    await expect.poll(async () => (await operator.client.jobs()).length).toBe(2);
    expect((await student.client.jobs()).map(({ machine }) => machine)).toEqual(['beta']);
    await expect(student.client.followJob(job)).rejects.toMatchObject({ code: 'not-found' });
    await expect(student.client.cancelJob(job)).rejects.toMatchObject({ code: 'not-found' });
    const [ofStudent] = await student.client.jobs();
    expect(await operator.client.cancelJob(ofStudent!.id)).toMatchObject({ machine: 'beta' });
    gate.open();
    await expect(own).rejects.toMatchObject({ code: 'aborted' });
    expect((await saving).snapshot.machine).toBe('alpha');
  });
});
