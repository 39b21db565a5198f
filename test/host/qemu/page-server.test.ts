// A postcopy source against a QEMU that is none: what is sent in which order, and what comes back in pieces, wrong, or not at all.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VitrineError } from '../../../src/base/error.ts';
import { type PageRef, type PageServerOptions, servePages } from '../../../src/host/qemu/page-server.ts';
import { LOADED_PING, postcopyOpening, SourceMessages } from '../../../src/host/qemu/stream/index.ts';
import { decodeTouchOrder, encodeTouchOrder, TouchOrders } from '../../../src/host/qemu/touch-order.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

const PAGE = 4096;
const BLOCKS = [
  { name: 'pc.ram', usedBytes: 300 * PAGE },
  { name: 'pc.bios', usedBytes: 2 * PAGE },
];
const CONTENT = {
  machineType: 'pc-i440fx-7.2',
  blocks: BLOCKS,
  sections: [{ name: 'timer', instanceId: 0, versionId: 2, body: new Uint8Array(24), early: false }],
};
const OPENING_BYTES = postcopyOpening(CONTENT).length;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-pages-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a page server', () => {
  it('sends what is asked for before all else, then what is named, then the rest, each page once', async () => {
    const { server, qemu } = await open({ ahead: [at(0, 7), at(1, 0), at(9, 0), at(0, 5)] });
    await qemu.opened;
    // Before its devices are loaded nothing comes unasked.
    qemu.request('pc.ram', 17);
    await qemu.untilPages(1);
    qemu.requestAgain(18);
    await qemu.untilPages(2);
    qemu.pong();
    await server.loaded;
    await qemu.untilClosing();
    qemu.shut(0);
    const report = await server.done;
    const order = qemu.pages.map(({ block, page }) => `${block} ${page}`);
    expect(order.slice(0, 5)).toEqual(['pc.ram 17', 'pc.ram 18', 'pc.ram 7', 'pc.bios 0', 'pc.ram 5']);
    expect(new Set(order).size).toBe(302);
    expect(order).toHaveLength(302);
    expect(report).toEqual({ asked: [at(0, 17), at(0, 18)], sentCount: 302 });
  });

  it.each([
    ['much at a time where nothing is asked for', [], [64, 64, 64, 64, 46]],
    [
      'one page behind what was asked for, and more as nothing follows',
      [299],
      [1, 1, 2, 4, 8, 16, 32, 64, 64, 64, 46],
    ],
  ])('sends %s', async (_, asked, expected) => {
    const counts: number[] = [];
    const { server, qemu } = await open({}, async (pages) => {
      counts.push(pages.length);
      return pages.map(contentOf);
    });
    await qemu.opened;
    for (const page of asked) qemu.request('pc.ram', page);
    await qemu.untilPages(asked.length);
    qemu.pong();
    await qemu.untilClosing();
    qemu.shut(0);
    await server.done;
    expect(counts).toEqual(expected);
  });

  it('sends zero pages as such and the others whole', async () => {
    const { qemu } = await open({ onlyNamed: true });
    await qemu.opened;
    qemu.request('pc.ram', 0);
    qemu.request('pc.ram', 3);
    await qemu.untilPages(2);
    expect(qemu.pages[0]!.bytes).toBe(0);
    expect(qemu.pages[1]!.bytes).toEqual(contentOf(at(0, 3)));
    qemu.socket.destroy();
  });

  it('forgets what is asked for twice', async () => {
    const { server, qemu } = await open({ onlyNamed: true });
    await qemu.opened;
    for (let i = 0; i < 500; i++) qemu.request('pc.ram', 3);
    qemu.request('pc.bios', 1);
    await qemu.untilPages(2);
    expect(server.asked).toEqual([at(0, 3), at(1, 1)]);
    qemu.socket.destroy();
  });

  it.each([
    ['a page of no block', (qemu: FakeQemu) => qemu.request('nowhere', 0), 'format-range'],
    ['a page outside of its block', (qemu: FakeQemu) => qemu.request('pc.ram', 300), 'format-range'],
    ['a page of a block that was never named', (qemu: FakeQemu) => qemu.requestAgain(0), 'format-range'],
    ['a message that is too long', (qemu: FakeQemu) => qemu.send([0, 3, 0xff, 0xff]), 'format-limit'],
    ['a message that is too short', (qemu: FakeQemu) => qemu.send([0, 4, 0, 1, 0]), 'format-truncated'],
    ['a failure', (qemu: FakeQemu) => qemu.shut(1), 'guest-failed'],
    ['the end of the connection', (qemu: FakeQemu) => qemu.socket.destroy(), 'guest-lost'],
  ])('ends with a code at %s', async (_, act, code) => {
    const { server, qemu } = await open({ onlyNamed: true });
    await qemu.opened;
    act(qemu);
    expect(await codeOf(() => server.done)).toBe(code);
    expect(await codeOf(() => server.loaded)).toBe(code);
  });

  it('ends with what reading a page throws', async () => {
    const { server, qemu } = await open({}, async () => {
      throw new VitrineError('object-damaged');
    });
    await qemu.opened;
    qemu.request('pc.ram', 1);
    expect(await codeOf(() => server.done)).toBe('object-damaged');
    await once(qemu.socket, 'close');
  });
});

describe('messages of a target', () => {
  it('are the same in pieces of any size', () => {
    const bytes = Uint8Array.from([
      ...[0, 2, 0, 4, 0, 0, 0, 9],
      ...[0, 3, 0, 19, 0, 0, 0, 1, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 6, ...ascii('pc.ram')],
      // Of a later version.
      ...[0, 7, 0, 0],
      ...[0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x10, 0],
      ...[0, 1, 0, 4, 0, 0, 0, 0],
    ]);
    const expected = [
      { kind: 'pong', value: 9 },
      { kind: 'request', block: 'pc.ram', offset: 2 ** 32 + 0x1000, lengthBytes: PAGE },
      { kind: 'request', block: 'pc.ram', offset: 0x2000, lengthBytes: PAGE },
      { kind: 'shut', error: 0 },
    ];
    const random = new Random(seedOfRun());
    for (let round = 0; round < 50; round++) {
      const messages = new SourceMessages();
      const heard: unknown[] = [];
      for (let from = 0; from < bytes.length; ) {
        const to = from + 1 + random.below(round === 0 ? 1 : 12);
        heard.push(...messages.push(bytes.subarray(from, to)));
        from = to;
      }
      expect(heard).toEqual(expected);
    }
  });
});

describe('an order of touches', () => {
  const pages = [at(0, 9), at(3, 2 ** 31), at(0, 0)];

  it('comes back as it was, from a file too', async () => {
    expect(decodeTouchOrder(encodeTouchOrder(pages))).toEqual(pages);
    const orders = new TouchOrders(folder);
    expect(await orders.load('a')).toEqual([]);
    await orders.keep('a', pages.slice(0, 1), pages.slice(1));
    expect(await orders.load('a')).toEqual(pages);
  });

  it('goes with its snapshot', async () => {
    const orders = new TouchOrders(join(folder, 'orders'));
    await orders.tidy([]);
    await orders.keep('a', [], pages);
    await orders.keep('b', [], pages);
    await orders.tidy(['b', 'c']);
    expect(await orders.load('a')).toEqual([]);
    expect(await orders.load('b')).toEqual(pages);
  });

  it('is a hint: whatever the file holds, it is read without harm', () => {
    const whole = encodeTouchOrder(pages);
    for (let length = 0; length < whole.length; length++) {
      expect(decodeTouchOrder(whole.subarray(0, length)).length).toBeLessThan(3);
    }
    const random = new Random(seedOfRun());
    for (let round = 0; round < 200; round++) decodeTouchOrder(random.bytes(random.below(200)));
  });
});

function at(block: number, page: number): PageRef {
  return { block, offset: page * PAGE };
}

/** Every third page holds something. */
function contentOf({ block, offset }: PageRef): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(PAGE);
  if ((offset / PAGE) % 3 === 0 && offset > 0) page.set(new Random(block * 1000 + offset).bytes(PAGE));
  return page;
}

async function open(
  options: PageServerOptions,
  read = async (pages: readonly PageRef[]): Promise<readonly Uint8Array[]> => pages.map(contentOf),
) {
  const path = join(folder, 'socket');
  const listener = createServer().listen(path);
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  const socket = connect(path);
  const qemu = new FakeQemu((await accepted)[0]);
  listener.close();
  return { server: servePages(socket, { ...CONTENT, read }, options), qemu };
}

/** The target's side: takes pages apart, asks as it is told. */
class FakeQemu {
  readonly socket: Socket;
  readonly pages: { block: string; page: number; bytes: Uint8Array | number }[] = [];
  #bytes = Buffer.alloc(0);
  #at = OPENING_BYTES;
  #isClosing = false;
  #lastBlock = '';
  #changed: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, piece]);
      this.#parse();
      this.#changed();
    });
  }

  get opened(): Promise<void> {
    return this.#until(() => this.#bytes.length >= OPENING_BYTES);
  }

  untilPages(count: number): Promise<void> {
    return this.#until(() => this.pages.length >= count);
  }

  untilClosing(): Promise<void> {
    return this.#until(() => this.#isClosing);
  }

  send(bytes: readonly number[]): void {
    this.socket.write(Uint8Array.from(bytes));
  }

  pong(): void {
    this.send([0, 2, 0, 4, 0, 0, 0, LOADED_PING]);
  }

  shut(error: number): void {
    this.send([0, 1, 0, 4, 0, 0, 0, error]);
  }

  request(block: string, page: number): void {
    const name = ascii(block);
    this.send([0, 3, 0, 13 + name.length, ...placeOf(page), name.length, ...name]);
  }

  /** Of the block that was named last. */
  requestAgain(page: number): void {
    this.send([0, 4, 0, 12, ...placeOf(page)]);
  }

  /** Parts of the RAM section, each whole when its footer is there. */
  #parse(): void {
    for (;;) {
      let at = this.#at;
      const left = (count: number) => at + count <= this.#bytes.length;
      if (!left(5)) return;
      const tag = this.#bytes[at]!;
      at += 5;
      const found: typeof this.pages = [];
      let lastBlock = this.#lastBlock;
      for (;;) {
        if (!left(8)) return;
        const record = Number(this.#bytes.readBigUInt64BE(at));
        at += 8;
        const flags = record % PAGE;
        if (flags === 0x10) break;
        if ((flags & 0x20) === 0) {
          if (!left(1) || !left(1 + this.#bytes[at]!)) return;
          const length = this.#bytes[at]!;
          lastBlock = this.#bytes.toString('latin1', at + 1, at + 1 + length);
          at += 1 + length;
        }
        const isZero = (flags & 0x02) !== 0;
        if (!left(isZero ? 1 : PAGE)) return;
        const bytes = isZero ? this.#bytes[at]! : new Uint8Array(this.#bytes.subarray(at, at + PAGE));
        found.push({ block: lastBlock, page: (record - flags) / PAGE, bytes });
        at += isZero ? 1 : PAGE;
      }
      if (!left(5)) return;
      expect(this.#bytes[at]).toBe(0x7e);
      this.#at = at + 5;
      this.#lastBlock = lastBlock;
      this.pages.push(...found);
      if (tag === 3) this.#isClosing = true;
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((changed) => {
        this.#changed = changed;
      });
    }
  }
}

function placeOf(page: number): number[] {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(BigInt(page * PAGE));
  bytes.writeUInt32BE(PAGE, 8);
  return [...bytes];
}

function ascii(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}
