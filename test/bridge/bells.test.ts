// Rings of guests' doorbells over a bridge: told to those who may see the machine, the last ones first, and a flood as one event a second
// that counts every ring.

import { decode } from 'cborg';
import { beforeEach, describe, expect, it } from 'vitest';
import { BellBook, type BellEvent, type BellRinging } from '../../src/bridge/bell-book.ts';
import type { BellInfo, BridgeClient } from '../../src/bridge/bridge-client.ts';
import { BRIDGE_LIMITS } from '../../src/bridge/bridge-limits.ts';
import { creditFrame, encodeFrame } from '../../src/bridge/frame.ts';
import { grantOf, PERMISSIONS } from '../../src/bridge/grant.ts';
import { type FlatHost, openFlatHost } from './bridge-host.ts';
import { connectTo } from './connect.ts';
import { RawClient } from './raw-client.ts';

const SNAPSHOT = 'ab'.repeat(32);
const SAVED: BellRinging = {
  ...{ machine: 'alpha', asked: 'save', answer: 'saved', code: null, snapshot: SNAPSHOT, tookMs: 3 },
};
const REFUSED: BellRinging = {
  ...{
    machine: 'alpha',
    asked: 'reset',
    answer: 'refused',
    code: 'permission-denied',
    snapshot: null,
    tookMs: 0,
  },
};

/** A clock that a test drives. */
class Later {
  nowMs = 0;
  #tasks: { readonly atMs: number; readonly task: () => void }[] = [];
  readonly clock = { wallMs: () => this.nowMs };
  readonly after = (ms: number, task: () => void): void => {
    this.#tasks.push({ atMs: this.nowMs + ms, task });
  };

  go(toMs: number): void {
    for (;;) {
      const next = this.#tasks.findIndex(({ atMs }) => atMs <= toMs);
      if (next < 0) break;
      const [due] = this.#tasks.splice(next, 1);
      this.nowMs = due!.atMs;
      due!.task();
    }
    this.nowMs = toMs;
  }

  get waiting(): number {
    return this.#tasks.length;
  }
}

let later: Later;
let book: BellBook;
beforeEach(() => {
  later = new Later();
  book = new BellBook(later);
});

describe('a book of rings', () => {
  it('tells the first of a kind at once, and counts the others of its second', () => {
    const told: BellEvent[] = [];
    book.listen((event) => told.push(event));
    book.add(REFUSED);
    book.add(SAVED);
    expect(told).toEqual([
      { ...REFUSED, count: 1, atMs: 0 },
      { ...SAVED, count: 1, atMs: 0 },
    ]);
    for (let ring = 0; ring < 5000; ring++) {
      later.go(Math.floor(ring / 2));
      book.add(REFUSED);
    }
    later.go(10_000);
    const refused = told.filter(({ answer }) => answer === 'refused');
    expect(refused.map(({ atMs }) => atMs)).toEqual([0, 999, 1999, 2499]);
    expect(refused.reduce((sum, { count }) => sum + count, 0)).toBe(5001);
    expect(later.waiting).toBe(0);
  });

  it('keeps a flood as one row, and no more than so many of a machine', () => {
    book.add(SAVED);
    for (let second = 0; second < 100; second++) {
      later.go(second * 1000);
      for (let ring = 0; ring < 10; ring++) book.add(REFUSED);
    }
    later.go(1e6);
    expect(book.recent('alpha')).toMatchObject([{ answer: 'saved' }, { answer: 'refused', count: 1000 }]);
    for (let index = 0; index < 100; index++) {
      book.add({ ...SAVED, snapshot: String(index).padStart(64, '0') });
    }
    expect(book.recent('alpha')).toHaveLength(32);
    expect(book.recent('alpha').at(-1)?.snapshot).toBe('99'.padStart(64, '0'));
    expect(book.recent('nobody')).toEqual([]);
  });
});

describe('a client', () => {
  let host: FlatHost;
  beforeEach(async () => {
    host = { ...(await openFlatHost({ alpha: 1, beta: 1 })), bells: book };
  });

  /** Rings that a client hears, until it is told to stop. */
  function follow(client: BridgeClient, machine?: string) {
    const heard: BellInfo[] = [];
    const leave = new AbortController();
    const ended = client.followBells((bell) => void heard.push(bell), {
      ...(machine === undefined ? {} : { machine }),
      signal: leave.signal,
    });
    const stop = async (): Promise<void> => {
      leave.abort();
      await expect(ended).rejects.toMatchObject({ code: 'aborted' });
    };
    return { heard, stop, ended };
  }

  it('reads the last ones, and hears each new one until it stops', async () => {
    book.add(SAVED);
    const { client, session } = await connectTo(host);
    expect(await client.bells()).toEqual([{ ...SAVED, count: 1, atMs: 0 }]);
    expect(await client.machine('beta').bells()).toEqual([]);
    expect((await client.machine('alpha').status()).lastBell).toMatchObject({ asked: 'save' });
    expect((await client.machine('beta').status()).lastBell).toBeNull();
    const all = follow(client);
    const beta = follow(client, 'beta');
    await expect.poll(() => all.heard.length).toBe(1);
    book.add(REFUSED);
    book.add({ ...REFUSED, machine: 'beta', asked: null, code: 'argument-invalid' });
    await expect.poll(() => all.heard.map(({ machine }) => machine)).toEqual(['alpha', 'alpha', 'beta']);
    await expect
      .poll(() => beta.heard)
      .toEqual([{ ...REFUSED, machine: 'beta', asked: null, code: 'argument-invalid', count: 1, atMs: 0 }]);
    await all.stop();
    await beta.stop();
    await expect.poll(() => session.requestCount).toBe(0);
    await expect(client.machine('nobody').bells()).rejects.toMatchObject({ code: 'not-found' });
  });

  it('that takes nothing loses the oldest kinds, and hears rings of one kind as one', async () => {
    const client = new RawClient(host);
    await client.open();
    const request = client.ask('bells', { follow: true });
    // The first is on its way, and waits for credit.
    book.add({ ...SAVED, machine: 'beta' });
    await client.call('list', {});
    for (let index = 0; index < BRIDGE_LIMITS.maxWaitingBells + 9; index++) {
      book.add({ ...SAVED, snapshot: String(index).padStart(64, '0') });
    }
    for (let second = 0; second < 5; second++) {
      book.add(REFUSED);
      book.add(REFUSED);
      later.go((second + 1) * 1000);
    }
    client.raw(creditFrame(request, 1 << 20));
    const heard = () => client.framesOf(request, 'data').flatMap(({ body }) => decode(body) as BellInfo[]);
    await expect.poll(() => heard().length).toBe(BRIDGE_LIMITS.maxWaitingBells + 1);
    expect(heard().at(1)?.snapshot).toBe('10'.padStart(64, '0'));
    expect(heard().at(-1)).toMatchObject({ answer: 'refused', count: 10 });
    client.raw(encodeFrame({ type: 'cancel', request }));
    expect(await client.answer(request)).toEqual({ code: 'aborted' });
  });

  it('with each permission alone hears of its machine if it may observe it, and of no other', async () => {
    book.add(SAVED);
    book.add({ ...SAVED, machine: 'beta' });
    for (const permission of PERMISSIONS) {
      const { client } = await connectTo(host, { grant: grantOf('someone', { alpha: [permission] }) });
      const may = permission === 'observe';
      expect([permission, (await client.bells()).map(({ machine }) => machine)]).toEqual([
        permission,
        may ? ['alpha'] : [],
      ]);
      const named = client.machine('alpha').bells();
      if (may) expect(await named).toHaveLength(1);
      else await expect(named).rejects.toMatchObject({ code: 'permission-denied' });
      await expect(client.machine('beta').bells()).rejects.toMatchObject({ code: 'permission-denied' });
    }
  });

  it('hears nothing more of a machine that was taken from it', async () => {
    const machines = new Set(['alpha', 'beta']);
    const grant = {
      subject: 'someone',
      allows: ({ machine }: { readonly machine: string | null }) => machine !== null && machines.has(machine),
    };
    const { client } = await connectTo(host, { grant });
    const all = follow(client);
    book.add(SAVED);
    await expect.poll(() => all.heard.length).toBe(1);
    machines.delete('alpha');
    book.add(REFUSED);
    book.add({ ...REFUSED, machine: 'beta' });
    await expect.poll(() => all.heard.map(({ machine }) => machine)).toEqual(['alpha', 'beta']);
    await all.stop();
  });

  it('of a host whose guests cannot ask is told so', async () => {
    const { client } = await connectTo(await openFlatHost({ alpha: 1 }));
    await expect(client.bells()).rejects.toMatchObject({ code: 'unsupported' });
    expect((await client.machine('alpha').status()).lastBell).toBeNull();
  });
});
