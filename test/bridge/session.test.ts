// Sessions by raw frames: what is answered, what ends a session, and what a client cannot make a host do.

import { describe, expect, it } from 'vitest';
import { BRIDGE_LIMITS } from '../../src/bridge/bridge-limits.ts';
import { encodeBody } from '../../src/bridge/control-body.ts';
import { creditFrame, creditOf, encodeFrame } from '../../src/bridge/frame.ts';
import { grantOf } from '../../src/bridge/grant.ts';
import type { VerbEvent } from '../../src/bridge/session.ts';
import { Random } from '../../src/testing/random.ts';
import { piecesOf } from '../support/channel-pair.ts';
import { seedOfRun } from '../support/seed.ts';
import { openFlatHost } from './bridge-host.ts';
import { RawClient } from './raw-client.ts';

describe('a session', () => {
  it('says who is there', async () => {
    const client = new RawClient(await openFlatHost());
    expect(client.session.state).toBe('greeting');
    expect(await client.call('hello', { software: 'test' })).toMatchObject({
      value: {
        protocol: 1,
        software: { name: 'test-host', version: '1.2.3' },
        subject: 'tester',
        store: { kind: 'memory', durability: 'none' },
        limits: { maxRequests: BRIDGE_LIMITS.maxRequests },
      },
    });
    expect(client.session.state).toBe('open');
  });

  it('wants hello first, and once', async () => {
    const client = new RawClient(await openFlatHost());
    expect(await client.call('list', {})).toEqual({ code: 'wrong-state' });
    await client.open();
    expect(await client.call('hello', { software: 'again' })).toEqual({ code: 'wrong-state' });
    expect(await client.call('list', {})).toEqual({ value: {} });
  });

  it('works one byte at a time in both directions', async () => {
    const client = new RawClient(await openFlatHost(), { pair: { cut: (message) => piecesOf(message, 1) } });
    await client.open();
    const request = client.ask('list', {}, { credit: 4096 });
    expect(await client.answer(request)).toEqual({ value: {} });
    expect(client.framesOf(request, 'data')).toHaveLength(1);
  });

  it('streams nothing before there is credit for it', async () => {
    const client = new RawClient(await openFlatHost());
    await client.open();
    const starved = client.ask('list', {}, { credit: 10 });
    const served = client.ask('status', { machine: 'alpha' });
    expect(await client.answer(served)).toMatchObject({ value: { name: 'alpha', state: 'running' } });
    expect(client.framesOf(starved)).toEqual([]);
    client.raw(creditFrame(starved, 4096));
    expect(await client.answer(starved)).toEqual({ value: {} });
  });

  it('answers what is asked wrongly, and goes on', async () => {
    const client = new RawClient(await openFlatHost());
    await client.open();
    expect(await client.answer(client.ask(60_000, {}))).toEqual({ code: 'unsupported' });
    expect(await client.call('status', {})).toEqual({ code: 'format-range' });
    expect(await client.call('status', { machine: 'alpha', more: 1 })).toEqual({ code: 'format-range' });
    expect(await client.call('status', { machine: '../alpha' })).toEqual({ code: 'format-range' });
    expect(await client.call('status', { machine: 'beta' })).toEqual({ code: 'not-found' });
    expect(client.session.state).toBe('open');
  });

  it('ends when a request comes twice', async () => {
    const client = new RawClient(await openFlatHost());
    await client.open();
    client.ask('list', {}, { request: 7 });
    client.ask('list', {}, { request: 7 });
    expect(await client.closed()).toBe('format-range');
    expect(client.hostChannel.closeCode).toBe(1002);
    expect(client.hostChannel.closeReason).toBe('format-range');
  });

  it('ends when frames name a request that never was', async () => {
    for (const frame of [
      creditFrame(9, 1),
      encodeFrame({ type: 'cancel', request: 9 }),
      encodeFrame({ type: 'data', request: 9, body: Uint8Array.of(1) }),
    ]) {
      const client = new RawClient(await openFlatHost());
      await client.open();
      client.raw(frame);
      expect(await client.closed()).toBe('format-range');
    }
  });

  it('takes no notice of frames for a request that has just ended', async () => {
    const client = new RawClient(await openFlatHost());
    await client.open();
    client.raw(creditFrame(1, 1));
    client.raw(encodeFrame({ type: 'cancel', request: 1 }));
    expect(await client.call('list', {})).toEqual({ value: {} });
  });

  it('ends when more credit is granted than a receiver may have outstanding, or none', async () => {
    for (const bytes of [BRIDGE_LIMITS.maxCreditBytes + 1, 0]) {
      const client = new RawClient(await openFlatHost());
      await client.open();
      client.ask('list', {}, { request: 5, credit: bytes });
      expect(await client.closed()).toMatch(/^format-(limit|range)$/);
    }
  });

  it('ends when data comes that nobody takes', async () => {
    const client = new RawClient(await openFlatHost());
    await client.open();
    const request = client.ask('list', {}, { credit: 1 });
    client.raw(encodeFrame({ type: 'data', request, body: Uint8Array.of(1) }));
    expect(await client.closed()).toBe('format-range');
  });

  it('ends when more data comes than was granted, though nobody has read what came before', async () => {
    const host = await openFlatHost();
    const { console: port, ...alpha } = host.flat.get('alpha')!;
    const deaf = { ...alpha, console: { ...port!, write: () => new Promise<void>(() => {}) } };
    const client = new RawClient({ ...host, machine: () => deaf });
    await client.open();
    const request = client.ask('machineConsole', { machine: 'alpha', input: true }, { credit: 100 });
    await expect.poll(() => client.framesOf(request, 'credit')).toHaveLength(1);
    const granted = creditOf(client.framesOf(request, 'credit')[0]!);
    for (let sent = 0; sent < granted; sent += BRIDGE_LIMITS.dataFrameBytes) {
      const body = new Uint8Array(Math.min(granted - sent, BRIDGE_LIMITS.dataFrameBytes));
      client.raw(encodeFrame({ type: 'data', request, body }));
    }
    expect((await client.call('status', { machine: 'alpha' })).code).toBeUndefined();
    client.raw(encodeFrame({ type: 'data', request, body: Uint8Array.of(1) }));
    expect(await client.closed()).toBe('format-limit');
  });

  it('refuses more requests than may be under way, and more than may come in a while', async () => {
    const host = await openFlatHost();
    const crowded = new RawClient(host, { session: { maxRequests: 3 } });
    await crowded.open();
    const waiting = [1, 2, 3].map(() => crowded.ask('list', {}));
    expect(await crowded.answer(crowded.ask('list', {}))).toEqual({ code: 'overloaded' });
    for (const request of waiting) crowded.raw(creditFrame(request, 4096));
    for (const request of waiting) expect(await crowded.answer(request)).toEqual({ value: {} });

    let nowMs = 0;
    const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
    const hasty = new RawClient(host, { session: { clock, requestsPerSecond: 10, requestBurst: 3 } });
    await hasty.open();
    const codes: unknown[] = [];
    for (let i = 0; i < 4; i++) codes.push((await hasty.call('status', { machine: 'alpha' })).code);
    expect(codes).toEqual([undefined, undefined, 'overloaded', 'overloaded']);
    nowMs += 100;
    expect((await hasty.call('status', { machine: 'alpha' })).code).toBeUndefined();
  });

  it('shows only what its grant allows', async () => {
    const host = await openFlatHost({ alpha: 4, beta: 4 });
    const client = new RawClient(host, { grant: grantOf('student', { beta: ['observe', 'peek'] }) });
    await client.open();
    expect(await client.call('status', { machine: 'alpha' })).toEqual({ code: 'permission-denied' });
    expect(await client.call('status', { machine: 'unheard-of' })).toEqual({ code: 'permission-denied' });
    expect(await client.call('status', { machine: 'beta' })).toMatchObject({ value: { name: 'beta' } });
    const request = client.ask('list', {}, { credit: 4096 });
    await client.answer(request);
    const [frame] = client.framesOf(request, 'data');
    const text = new TextDecoder().decode(frame!.body);
    expect(text).toContain('beta');
    expect(text).not.toContain('alpha');
  });

  it('tells an audit log of each request, with what it was about', async () => {
    const events: VerbEvent[] = [];
    const client = new RawClient(await openFlatHost(), {
      session: { onVerb: (event) => events.push(event) },
    });
    await client.open();
    await client.call('status', { machine: 'alpha' });
    await client.call('status', { machine: 'beta' });
    expect(events).toMatchObject([
      { verb: 'hello', subject: 'tester', outcome: 'ok', notes: { software: 'raw' } },
      { verb: 'status', permission: 'observe', outcome: 'ok', notes: { machine: 'alpha' } },
      { verb: 'status', outcome: 'not-found', notes: { machine: 'beta' } },
    ]);
  });

  it('keeps what it did not foresee to itself', async () => {
    const host = await openFlatHost();
    const errors: unknown[] = [];
    const broken = {
      ...host,
      machine: () => {
        throw new Error('a secret path');
      },
    };
    const client = new RawClient(broken, { session: { onInternalError: (error) => errors.push(error) } });
    await client.open();
    expect(await client.call('status', { machine: 'alpha' })).toEqual({ code: 'internal' });
    expect(errors).toHaveLength(1);
    expect(new TextDecoder().decode(client.frames.at(-1)!.body)).not.toContain('secret');
  });

  it('of random frames answers or ends, and never throws', async () => {
    const random = new Random(seedOfRun());
    const host = await openFlatHost();
    const outcomes = new Set<string>();
    for (let round = 0; round < 60; round++) {
      const client = new RawClient(host);
      await client.open();
      for (let i = 0; i < 20; i++) {
        const request = random.chance(0.9) ? 2 + i : 1 + random.below(30);
        const body = random.chance(0.3)
          ? random.bytes(1 + random.below(40))
          : encodeBody(random.chance(0.5) ? { machine: 'alpha' } : {});
        if (random.chance(0.02)) client.raw(random.bytes(30));
        else if (random.chance(0.9)) {
          client.raw(encodeFrame({ type: 'request', request, verb: 1 + random.below(5), body }));
          if (random.chance(0.8)) client.raw(creditFrame(request, 1 + random.below(9000)));
        } else client.raw(encodeFrame({ type: 'cancel', request }));
      }
      await expect
        .poll(() => client.channel.bufferedBytes === 0 || client.session.state === 'closed', { interval: 2 })
        .toBe(true);
      if (client.session.state === 'closed') outcomes.add(await client.closed());
      else {
        outcomes.add('open');
        client.session.close();
      }
    }
    for (const outcome of outcomes) expect(outcome).toMatch(/^(open|format-(range|tag|limit))$/);
    expect(outcomes.size).toBeGreaterThan(1);
  });
});
