// Streams read and written, without QEMU: recordings of two versions, damaged in all ways, and streams that no QEMU writes.

import { describe, expect, it } from 'vitest';
import { isVitrineError, VitrineError } from '../../../src/base/error.ts';
import {
  type DeviceSection,
  type ParsedStream,
  parseStream,
  type RamBlock,
  type StreamContent,
  type StreamPage,
} from '../../../src/host/qemu/stream/index.ts';
import { sectionKey, toldBytes } from '../../../src/host/qemu/stream/vmdesc.ts';
import { STREAM_LIMITS } from '../../../src/host/qemu/stream/wire.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';
import { briefOf, drip, joined, pieces, read, whole } from './read-stream.ts';
import { RECORDINGS, readRecording } from './recordings.ts';

const CODES = /^(format-|stream-feature$)/;
const PAGE = 4096;

describe.each(RECORDINGS)('the recording $name', ({ name, machineType, way, capabilities }) => {
  it('says what the machine is', async () => {
    const { parsed } = await read(whole(await readRecording(name)));
    expect(parsed).toMatchObject({ version: 3, capabilities });
    expect(parsed.machineType).toBe(way === 'migrate' ? machineType : undefined);
    const names = parsed.sections.map((section) => section.name);
    expect(names).toEqual(expect.arrayContaining(['timer', 'cpu', 'i8254', 'mc146818rtc', 'globalstate']));
    expect(parsed.sections.find((section) => section.name === 'globalstate')?.body).toHaveLength(104);
    expect(parsed.blocks.map((block) => block.name).includes('pc.ram')).toBe(way === 'migrate');
    for (const block of parsed.blocks) expect(block.gpa !== undefined).toBe(capabilities.length > 0);
  });

  it('has sections as long as QEMU says, by their footers alone too', async () => {
    const stream = await readRecording(name);
    const { parsed } = await read(whole(stream));
    if (parsed.vmdesc === undefined) return;
    const told = toldBytes(parsed.vmdesc);
    for (const { name, instanceId, body } of parsed.sections) {
      expect(told.get(sectionKey(name, instanceId)), name).toBe(body.length);
    }
    // The description starts behind the zero that ends the sections.
    const json = new TextDecoder('latin1').decode(stream).lastIndexOf('{"');
    const end = stream.lastIndexOf(0x06, json);
    const bare = await read(whole(stream.subarray(0, end)));
    expect(bare.parsed.vmdesc).toBeUndefined();
    expect(briefOf(bare)).toEqual(briefOf(await read(whole(stream))));
  });

  it('is read alike in chunks of any size', async () => {
    const stream = await readRecording(name);
    const expected = briefOf(await read(whole(stream)));
    const random = new Random(seedOfRun());
    for (let round = 0; round < 2; round++) {
      const source = pieces(stream, () => 1 + random.below(round === 0 ? 16 : 9000));
      expect(briefOf(await read(source))).toEqual(expected);
    }
    expect(briefOf(await read(drip(stream)))).toEqual(expected);
  });

  it('comes back from what is synthesized of it', async () => {
    const first = await read(whole(await readRecording(name)));
    for (const withVmdesc of [true, false]) {
      const again = await read(whole(joined(contentOf(first, withVmdesc))));
      expect(briefOf(again)).toEqual(briefOf(first));
    }
  });

  it('is refused when its end is missing', async () => {
    const stream = await readRecording(name);
    const random = new Random(seedOfRun());
    const bare = stream.lastIndexOf(0x06, new TextDecoder('latin1').decode(stream).lastIndexOf('{"'));
    const cuts = Array.from({ length: 60 }, () => random.below(stream.length));
    const near = Array.from({ length: 60 }, (_, i) => [i, stream.length - 1 - i, Math.max(0, bare - 30 + i)]);
    for (const length of [...cuts, ...near.flat()].filter((one) => one !== bare && one < stream.length)) {
      const error = await failureOf(stream.subarray(0, length));
      expect(error?.code, `cut at ${length}`).toMatch(/^format-(truncated|range)$/);
    }
  });

  it('with flipped bits is refused with a code, or read as a stream again', async () => {
    const stream = await readRecording(name);
    const random = new Random(seedOfRun());
    let refused = 0;
    for (let round = 0; round < 60; round++) {
      const damaged = stream.slice();
      // Most of it is pages, where a flip is only another page: half of the flips go to the head.
      const reach = random.chance(0.5) ? 120 : damaged.length;
      for (let flips = 1 + random.below(3); flips > 0; flips--) {
        damaged[random.below(Math.min(reach, damaged.length))]! ^= 1 << random.below(8);
      }
      try {
        const first = await read(whole(damaged));
        const again = await read(whole(joined(contentOf(first, true))));
        expect(briefOf(again)).toEqual(briefOf(first));
      } catch (error) {
        if (!isVitrineError(error) || !CODES.test(error.code)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(5);
  });
});

describe('a stream', () => {
  const blocks = [
    { name: 'pc.ram', usedBytes: 4 * PAGE },
    { name: 'pc.bios', usedBytes: PAGE },
  ];
  const sections = [section('timer', 24), section('cpu', 100, 1)];

  it('has the early sections before RAM and the others behind it', async () => {
    const early = { ...section('virtio-mem', 9), early: true };
    const stream = joined({ machineType: 'pc-q35-10.0', blocks, sections: [sections[0]!, early] });
    const { parsed } = await read(pieces(stream, () => 7));
    expect(parsed.sections).toEqual([early, sections[0]]);
  });

  it('tells pages with their block, fills as fills, the last of a page last', async () => {
    const full = new Random(5).bytes(PAGE);
    const pages = [
      { block: 0, offset: PAGE, bytes: full },
      { block: 0, offset: 2 * PAGE, bytes: 0 },
      { block: 1, offset: 0, bytes: 0xff },
      { block: 0, offset: PAGE, bytes: 0 },
    ];
    const heard: unknown[] = [];
    const parsed = await parseStream(whole(joined({ machineType: 'pc', blocks, pages, sections })), {
      onPage: (block, offset, content) =>
        void heard.push([block, offset, typeof content === 'number' ? content : content.slice()]),
    });
    const filled = new Uint8Array(PAGE).fill(0xff);
    expect(heard).toEqual([
      [0, PAGE, full],
      [0, 2 * PAGE, 0],
      // Newer versions refuse fills other than zero, so that one is written as a page.
      [1, 0, filled],
      [0, PAGE, 0],
    ]);
    expect(parsed.pageCount).toBe(4);
  });

  it('without blocks has no RAM', async () => {
    const { parsed } = await read(whole(joined({ machineType: 'pc', sections })));
    expect(parsed).toMatchObject({ blocks: [], pageCount: 0, sections });
  });

  it('is split by the told lengths where a body holds what looks like a footer and a section', async () => {
    // The first synthesized section has id 3. Both readings account for all bytes; the told one is right.
    const trap = section('trap', 64);
    trap.body.set([0x7e, 0, 0, 0, 3, 0x04, 0, 0, 0, 9, 1, 0x61, 0, 0, 0, 0, 0, 0, 0, 0], 10);
    trap.body.set([0x7e, 0, 0, 0, 9, 0x04, 0, 0, 0, 3, 1, 0x62, 0, 0, 0, 0, 0, 0, 0, 0], 40);
    const content = { machineType: 'pc', sections: [trap, ...sections] };
    expect((await read(whole(joined(content)))).parsed.sections).toEqual(content.sections);
    // By the footers alone it is read in another way.
    const guessed = await read(whole(joined({ ...content, withVmdesc: false })));
    expect(guessed.parsed.sections.map(({ name }) => name)).toEqual(['trap', 'a', 'b', 'timer', 'cpu']);
  });

  it('goes back from a footer after which nothing makes sense', async () => {
    const trap = section('trap', 64);
    trap.body.set([0x7e, 0, 0, 0, 3, 0x04, 0, 0, 0, 9, 1, 0x61, 0, 0, 0, 0], 10);
    const { parsed } = await read(whole(joined({ sections: [trap, ...sections], withVmdesc: false })));
    expect(parsed.sections).toEqual([trap, ...sections]);
  });

  it('whose bodies could be cut in endless ways is refused in time', async () => {
    // Each five bytes are a footer and the beginning of a section; none leads to the end.
    const body = new Uint8Array(4 * 1024 * 1024);
    const piece = [0x7e, 0, 0, 0, 3, 0x04, 0, 0, 0, 3, 1, 0x61, 0, 0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < body.length; i++) body[i] = piece[i % piece.length]!;
    const stream = joined({ sections: [{ ...section('trap', 0), body }], withVmdesc: false });
    // The end is bent so that no reading fits.
    stream[stream.length - 2]! ^= 1;
    expect((await failureOf(stream))?.code).toBe('format-limit');
  });

  it.each([
    ['xbzrle', 0x40],
    ['rdma', 0x80],
    ['compress', 0x100],
    ['multifd', 0x200],
  ])('of a machine with %s is refused by that name', async (feature, flag) => {
    const stream = joined({
      machineType: 'pc',
      blocks,
      sections,
      pages: [{ block: 0, offset: 0, bytes: 0 }],
    });
    const at = indexOf(stream, [0, 0, 0, 0, 0, 0, 0, 0x02, 6]);
    stream[at + 6] = flag >> 8;
    stream[at + 7] = flag & 0xff;
    expect(await failureOf(stream)).toMatchObject({ code: 'stream-feature', data: { feature } });
  });

  it.each(['mapped-ram', 'x-colo'])('with the capability %s is refused by that name', async (feature) => {
    const stream = joined({ machineType: 'pc', capabilities: [feature], sections });
    expect(await failureOf(stream)).toMatchObject({ code: 'stream-feature', data: { feature } });
  });

  it.each([
    [3, 'postcopy-advise'],
    [6, 'postcopy-ram-discard'],
    [8, 'enable-colo'],
  ])('with command %i is refused by its name', async (number, feature) => {
    const head = joined({ machineType: 'pc', sections: [] }).subarray(0, 8 + 5 + 2);
    const stream = Uint8Array.from([...head, 8, 0, number, 0, 0]);
    expect(await failureOf(stream)).toMatchObject({ code: 'stream-feature', data: { feature } });
  });

  it('takes no more memory than came, whatever its lengths claim', async () => {
    const claims = [
      // A machine type, capabilities, a description, RAM: each far longer than the stream.
      { bytes: [0x07, 0xff, 0xff, 0xff, 0xff], code: 'format-limit' },
      {
        bytes: [0x07, 0, 0, 0, 1, 0x61, 0x05, 26, ...ascii('configuration/capabilities')],
        code: 'format-truncated',
      },
      {
        bytes: [
          0x01,
          0,
          0,
          0,
          2,
          3,
          ...ascii('ram'),
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          4,
          0,
          0x1f,
          0,
          0,
          0,
          0,
          0,
          4,
          1,
          0x61,
        ],
        code: 'format-truncated',
      },
    ];
    for (const { bytes, code } of claims) {
      const stream = Uint8Array.from([0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3, ...bytes]);
      expect((await failureOf(stream))?.code).toBe(code);
    }
  });

  it('with more device state than the limit is refused while it comes', async () => {
    let sent = 0;
    const head = joined({ sections: [section('a', 1)], withVmdesc: false }).subarray(0, 30);
    const endless = (async function* () {
      yield head;
      for (;;) {
        sent += 2 ** 20;
        yield new Uint8Array(2 ** 20).fill(0x55);
      }
    })();
    const error = await parseStream(endless).catch((cause: unknown) => cause);
    expect(isVitrineError(error, 'format-limit')).toBe(true);
    expect(sent).toBeLessThan(STREAM_LIMITS.maxDeviceBytes + STREAM_LIMITS.maxVmdescBytes + 2 ** 22);
  });

  it('ends the source when it cannot be read, and when it is aborted', async () => {
    let ended = 0;
    const source = (bytes: Uint8Array) =>
      (async function* () {
        try {
          yield bytes;
          yield bytes;
        } finally {
          ended++;
        }
      })();
    await expect(parseStream(source(new Uint8Array(8)))).rejects.toMatchObject({ code: 'format-magic' });
    const signal = AbortSignal.abort();
    await expect(parseStream(source(new Uint8Array(8)), { signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(ended).toBe(2);
  });

  it('is not written with pages that are nowhere', () => {
    const one = (page: StreamPage, more: Partial<StreamContent> = {}) =>
      codeOf(() => joined({ machineType: 'pc', blocks, sections, pages: [page], ...more }));
    expect(one({ block: 0, offset: 4 * PAGE, bytes: 0 })).toBe('argument-invalid');
    expect(one({ block: 2, offset: 0, bytes: 0 })).toBe('argument-invalid');
    expect(one({ block: 0, offset: 12, bytes: 0 })).toBe('argument-invalid');
    expect(one({ block: 0, offset: 0, bytes: new Uint8Array(12) })).toBe('argument-invalid');
    expect(one({ block: 0, offset: 0, bytes: 0 }, { blocks: [] })).toBe('argument-invalid');
    expect(one({ block: 0, offset: 0, bytes: 0 }, { capabilities: ['x-ignore-shared'] })).toBe(
      'argument-invalid',
    );
    const odd: RamBlock[] = [{ name: 'pc.ram', usedBytes: 4095 }];
    expect(one({ block: 0, offset: 0, bytes: 0 }, { blocks: odd })).toBe('argument-invalid');
  });
});

function section(name: string, lengthBytes: number, instanceId = 0): DeviceSection {
  const body = new Random(lengthBytes).bytes(lengthBytes);
  return { name, instanceId, versionId: 2, body, early: false };
}

function contentOf(
  { parsed, pages }: { readonly parsed: ParsedStream; readonly pages: readonly StreamPage[] },
  withVmdesc: boolean,
): StreamContent {
  const { machineType, capabilities, blocks, sections } = parsed;
  return { machineType, capabilities, blocks, sections, withVmdesc, ...(blocks.length > 0 && { pages }) };
}

async function failureOf(stream: Uint8Array): Promise<VitrineError | undefined> {
  try {
    await read(whole(stream));
    return undefined;
  } catch (error) {
    if (error instanceof VitrineError) return error;
    throw error;
  }
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return isVitrineError(error) ? error.code : String(error);
  }
}

function indexOf(bytes: Uint8Array, pattern: readonly number[]): number {
  for (let at = 0; at + pattern.length <= bytes.length; at++) {
    if (pattern.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  throw new Error('the pattern is not there');
}

function ascii(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}
