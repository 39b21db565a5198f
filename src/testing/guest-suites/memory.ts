// Conformance: regions are read and written exactly, and nothing beside a span is touched.

import { equalBytes } from '../../base/bytes.ts';
import type { Guest } from '../../guest/guest.ts';
import type { Region } from '../../memory/region.ts';
import type { Span } from '../../memory/span.ts';
import { differenceOf, readSpan, takeInstant } from './instant.ts';
import { codeOf, guestTest, type OpenSubject, type TestApi, whilePaused } from './subject.ts';

/** Bytes looked at on each side of a span that is written. */
const MARGIN_BYTES = 16;

export function memorySuite(name: string, open: OpenSubject, api: TestApi): void {
  const { expect } = api;
  const test = guestTest(open, api);

  api.describe(`${name}: memory`, () => {
    test('reads back what was written at odd spans, and touches no byte beside them', async (_, guest) => {
      await whilePaused(guest, async () => {
        for (const region of guest.regions) {
          for (const span of oddSpans(region)) {
            expect({ ...span, answer: await writeAndBack(guest, span, region) }).toEqual({
              ...span,
              answer: 'exact',
            });
          }
        }
      });
    });

    test('refuses spans outside its regions and changes nothing', async (_, guest) => {
      await whilePaused(guest, async () => {
        const before = await takeInstant(guest);
        const bytes = Uint8Array.of(0x5a);
        for (const span of foreignSpans(guest)) {
          const read = await codeOf(() => guest.readPages(span, bytes));
          const write = await codeOf(() => guest.writePages(span, bytes));
          const refused = 'span-out-of-range';
          expect({ ...span, read, write }).toEqual({ ...span, read: refused, write: refused });
        }
        expect(differenceOf(before, await takeInstant(guest))).toBe('none');
      });
    });

    test('shows in a view what it reads by spans', async (subject, guest) => {
      await subject.run();
      await whilePaused(guest, async () => {
        for (const { id, sizeBytes } of guest.regions) {
          const bytes = await readSpan(guest, { region: id, offsetBytes: 0, lengthBytes: sizeBytes });
          const view = guest.view(id);
          if (view === undefined) continue;
          expect(view.length).toBe(sizeBytes);
          expect(equalBytes(view, bytes)).toBe(true);
          if (sizeBytes === 0) continue;
          const first = { region: id, offsetBytes: 0, lengthBytes: 1 };
          await guest.writePages(first, invert(bytes.subarray(0, 1)));
          expect(guest.view(id)?.[0]).toBe(bytes[0]! ^ 0xff);
          await guest.writePages(first, bytes.subarray(0, 1));
        }
        expect(guest.view(guest.regions.length)).toBe(undefined);
      });
    });
  });
}

/** Inverts a span and puts it back; `exact` when each step changed what it should and no more. */
async function writeAndBack(guest: Guest, span: Span, region: Region): Promise<string> {
  const offsetBytes = Math.max(0, span.offsetBytes - MARGIN_BYTES);
  const end = Math.min(region.sizeBytes, span.offsetBytes + span.lengthBytes + MARGIN_BYTES);
  const around = { region: region.id, offsetBytes, lengthBytes: end - offsetBytes };
  const before = await readSpan(guest, around);
  const at = span.offsetBytes - offsetBytes;
  const original = before.slice(at, at + span.lengthBytes);
  const expected = before.slice();
  expected.set(invert(original), at);
  await guest.writePages(span, invert(original));
  const written = equalBytes(await readSpan(guest, around), expected);
  const alone = equalBytes(await readSpan(guest, span), invert(original));
  await guest.writePages(span, original);
  const back = equalBytes(await readSpan(guest, around), before);
  return written && alone && back ? 'exact' : `written ${written}, alone ${alone}, back ${back}`;
}

/** Spans that begin and end in odd places of a region. */
function oddSpans({ id, sizeBytes, pageBytes }: Region): Span[] {
  const spans: Span[] = [];
  const offsets = [0, 1, pageBytes - 1, pageBytes, 3 * pageBytes + 7, sizeBytes - 1, sizeBytes];
  const lengths = [0, 1, 3, pageBytes, 2 * pageBytes + 5, sizeBytes];
  for (const offsetBytes of offsets) {
    for (const lengthBytes of lengths) {
      if (offsetBytes < 0 || offsetBytes + lengthBytes > sizeBytes) continue;
      spans.push({ region: id, offsetBytes, lengthBytes });
    }
  }
  return spans;
}

/** Spans that do not lie in the regions. */
function foreignSpans(guest: Guest): Span[] {
  const spans: Span[] = [
    { region: guest.regions.length, offsetBytes: 0, lengthBytes: 1 },
    { region: -1, offsetBytes: 0, lengthBytes: 1 },
    { region: 0.5, offsetBytes: 0, lengthBytes: 1 },
  ];
  for (const { id: region, sizeBytes } of guest.regions) {
    spans.push(
      { region, offsetBytes: sizeBytes, lengthBytes: 1 },
      { region, offsetBytes: 0, lengthBytes: sizeBytes + 1 },
      { region, offsetBytes: sizeBytes + 1, lengthBytes: 0 },
      { region, offsetBytes: -1, lengthBytes: 1 },
      { region, offsetBytes: 0, lengthBytes: -1 },
      { region, offsetBytes: 0.5, lengthBytes: 1 },
      { region, offsetBytes: Number.NaN, lengthBytes: 1 },
      { region, offsetBytes: 2 ** 53, lengthBytes: 1 },
    );
  }
  return spans;
}

function invert(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => byte ^ 0xff);
}
