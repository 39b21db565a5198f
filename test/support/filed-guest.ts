// A flat guest whose memory lies in a file, too, as a machine's RAM does: threads read it there.

import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VitrineError } from '../../src/base/error.ts';
import type { Machine } from '../../src/engine/machine.ts';
import type { Vitrine } from '../../src/engine/vitrine.ts';
import { FlatGuest, type FlatGuestOptions } from '../../src/guest/flat.ts';
import type { PageTold, StreamedInstant } from '../../src/guest/guest.ts';
import { MirrorThreads } from '../../src/host/pages/mirror-threads.ts';
import { RamScanner } from '../../src/host/pages/ram-scanner.ts';
import { StagingFile } from '../../src/host/pages/staging-file.ts';
import { loadKernels } from '../../src/kernel/load.ts';
import type { Span } from '../../src/memory/span.ts';
import { DigestTracker } from '../../src/tracking/digest-tracker.ts';
import { MarkedScanner } from '../../src/tracking/marked-scanner.ts';
import { openScanTracker } from '../../src/tracking/scan-tracker.ts';

const PAGE = 4096;

export class FiledGuest extends FlatGuest {
  readonly #file: number;
  readonly #parts: readonly Uint8Array[];
  /** Pauses that have not been taken back. */
  rests = 0;
  /** Steps that it takes whenever somebody looks at it while it runs. */
  stepsWhenSeen = 0;

  constructor(path: string, options: FlatGuestOptions) {
    super(options);
    this.#parts = options.regions.map(({ bytes }) => bytes);
    this.#file = openSync(path, 'w', 0o600);
    this.#write();
  }

  /** A region's memory. */
  partsOf(region: number): Uint8Array {
    return this.#parts[region]!;
  }

  override run(steps: number): string {
    const transcript = super.run(steps);
    this.#write();
    return transcript;
  }

  override async pause(): Promise<void> {
    await super.pause();
    this.rests++;
    this.#write();
  }

  override async resume(): Promise<void> {
    await super.resume();
    this.rests--;
  }

  override writePages(span: Span, from: Uint8Array): void {
    super.writePages(span, from);
    this.#write();
  }

  readTorn({ region, offsetBytes, lengthBytes }: Span, into: Uint8Array): void {
    into.set(this.#parts[region]!.subarray(offsetBytes, offsetBytes + lengthBytes));
    if (this.stepsWhenSeen > 0) this.run(this.stepsWhenSeen);
  }

  override async close(): Promise<void> {
    await super.close();
    closeSync(this.#file);
  }

  #write(): void {
    let at = 0;
    for (const part of this.#parts) {
      writeSync(this.#file, part, 0, part.length, at);
      at += part.length;
    }
  }
}

/**
 * One whose process sends its memory while it runs on, as QEMU does: all pages in an order of its own, then again what changed
 * since it was sent, round after round; what is left is sent at rest, and is the instant.
 */
export class StreamingGuest extends FiledGuest {
  /** Steps that it takes after each page. */
  stepsWhenSent = 0;
  /** Memory of the instant that was sent last, one region after another. */
  instant = Buffer.alloc(0);
  /** Called before each page, by its number in the stream. */
  onSend: (sent: number) => void = () => {};
  #order = 1;

  async streamInstant(
    told: PageTold,
    signal?: AbortSignal,
  ): Promise<StreamedInstant | { readonly reason: string }> {
    if (this.rests > 0) return { reason: 'it is paused' };
    const sentAs = new Map<string, Buffer>();
    let sent = 0;
    const send = async (region: number, page: number): Promise<void> => {
      const bytes = this.partsOf(region).subarray(page * PAGE, (page + 1) * PAGE);
      sentAs.set(`${region} ${page}`, Buffer.from(bytes));
      this.onSend(sent++);
      // Whoever aborts is heard, and a promise is waited for.
      await told(region, page, bytes.slice(), bytes.every((byte) => byte === 0) || undefined);
      if (signal?.aborted) throw new VitrineError('aborted');
      // The file is written when it rests.
      if (this.rests === 0) FlatGuest.prototype.run.call(this, this.stepsWhenSent);
    };
    const all = this.regions.flatMap(({ id, sizeBytes }) =>
      Array.from({ length: sizeBytes / PAGE }, (_, page) => [id, page] as const),
    );
    const changed = () =>
      all.filter(([region, page]) => {
        const bytes = this.partsOf(region).subarray(page * PAGE, (page + 1) * PAGE);
        return sentAs.get(`${region} ${page}`)?.equals(bytes) !== true;
      });
    for (let round = 0; round < 3; round++) {
      const pages = changed();
      // Another order each time.
      this.#order = (this.#order * 7 + 3) % 1009;
      pages.sort(([a, x], [b, y]) => (((a + x) * this.#order) % 101) - (((b + y) * this.#order) % 101));
      for (const [region, page] of pages) await send(region, page);
    }
    await this.pause();
    try {
      for (const [region, page] of changed()) await send(region, page);
      this.instant = Buffer.concat(this.regions.map(({ id }) => this.partsOf(id)));
      return { devices: this.saveDevices(), pauseMs: 1 };
    } finally {
      await this.resume();
    }
  }
}

export interface FiledOptions extends Partial<FlatGuestOptions> {
  /** Room for copies. */
  readonly keptPages?: number;
  /** More than so many pages are stored ahead. */
  readonly fewPages?: number;
  /** What a live capture hands out at a time. */
  readonly partPages?: number;
}

/** A guest of two regions whose border is no multiple of anything, its memory in a file, too. */
export async function openFiled<Kind extends FiledGuest>(
  Kind: new (path: string, options: FlatGuestOptions) => Kind,
  pages: number,
  options: Partial<FlatGuestOptions>,
) {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-filed-'));
  const memory = new Uint8Array(pages * PAGE);
  const border = Math.floor(pages / 3) * PAGE + PAGE;
  const path = join(directory, 'ram');
  const guest = new Kind(path, {
    regions: [
      { name: 'ram', bytes: memory.subarray(0, border), guestAddress: 0 },
      { name: 'ram.high', bytes: memory.subarray(border), guestAddress: border },
    ],
    ...options,
  });
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  return { directory, path, guest, memory, remove };
}

/** Such a guest, told by digests, under an engine. */
export async function adoptFiled(
  engine: Vitrine,
  name: string,
  pages: number,
  { keptPages = 8, fewPages = 4, partPages = 4, ...options }: FiledOptions = {},
): Promise<{
  guest: StreamingGuest;
  machine: Machine;
  tracker: DigestTracker;
  memory: Uint8Array<ArrayBuffer>;
  remove: () => Promise<void>;
}> {
  const { directory, path, guest, memory, remove } = await openFiled(StreamingGuest, pages, options);
  const all = new RamScanner(path, guest.regions, { mostKeptBytes: keptPages * PAGE });
  const scanner = new MarkedScanner(guest, all);
  const staging = new StagingFile(directory, guest.regions);
  const tracker = new DigestTracker({ guest, scanner, staging, fewPages, partBytes: partPages * PAGE });
  return { guest, machine: engine.adopt(name, tracker), tracker, memory, remove };
}

/** Such a guest, compared by threads with a mirror that they share, under an engine. */
export async function adoptMirrored(
  engine: Vitrine,
  name: string,
  pages: number,
  options: Partial<FlatGuestOptions> = {},
): Promise<{
  guest: FiledGuest;
  machine: Machine;
  memory: Uint8Array<ArrayBuffer>;
  remove: () => Promise<void>;
}> {
  const { path, guest, memory, remove } = await openFiled(FiledGuest, pages, options);
  const tracker = await openScanTracker(guest, {
    openKernels: () => loadKernels({ shared: true }),
    openScanner: (mirror) => new MirrorThreads(path, mirror),
  });
  return { guest, machine: engine.adopt(name, tracker), memory, remove };
}
