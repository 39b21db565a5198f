// A guest that lives in another worker, for a tracker in this one. Its shared memory is read and written in place; rest,
// marks and devices come over a port, as few messages as can be: one that it rests, with the marks, one with the devices,
// which are saved while memory is compared here, and one that it runs on.
//
// Reads are of one instant only while it rests, and so is what this class gives: see `memory/shared-memory.ts` for what
// orders them. What is written here is seen by the guest before it runs on: `noticeWritten` is posted before `resume`.
//
// Of several takes in one pause the first has the marks that came along; later ones have what was written here since.
// Nothing else writes to a guest at rest, and whatever did would still be marked over there, for the next pause.

import { type Remote, transfer, wrap } from 'comlink';
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Barrier, BarrierOptions } from '../guest/barrier.ts';
import { DirtyMarks } from '../guest/dirty-marks.ts';
import type { FreePageRequest, FreeSpanListener } from '../guest/free-pages.ts';
import type {
  DeviceRecord,
  DirtyTake,
  Guest,
  GuestTraits,
  MachineDescription,
  PauseNeeds,
} from '../guest/guest.ts';
import { PauseGuard } from '../guest/pause-guard.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import { isSpanShared, type SharedMemory, sharedBytes } from '../memory/shared-memory.ts';
import { regionOf, type Span } from '../memory/span.ts';
import { installErrorTransfer } from './error-transfer.ts';
import type { GuestOffer, SentMarks, ServedGuest, SpilledPage } from './guest-port.ts';
import { PortBarrier } from './port-barrier.ts';
import { PortDoorbell, type RingMessage } from './port-doorbell.ts';
import { PortFreePages } from './port-free-pages.ts';
import { settling } from './supervision.ts';

/** Spans in one message: a restore of a whole machine has many thousands. */
const MAX_SPANS = 1024;

/** The guest at the other end of a port. Calls end with the error of `lost` when that resolves. */
export function connectGuest(port: MessagePort, offer: GuestOffer, lost: Promise<VitrineError>): PortGuest {
  installErrorTransfer();
  const api = settling(
    wrap<ServedGuest>(port as unknown as Parameters<typeof wrap>[0]),
    lost,
  ) as Remote<ServedGuest>;
  const guest = new PortGuest(api, offer, lost);
  port.addEventListener('message', (event: MessageEvent<Partial<SpilledPage | RingMessage> | null>) => {
    // Safe: no other messages at this port are of these kinds.
    if (event.data?.kind === 'vitrine:spilled-page') guest.takeSpilled(event.data as SpilledPage);
    else if (event.data?.kind === 'vitrine:ring') void guest.doorbell?.takeRing(event.data as RingMessage);
  });
  return guest;
}

export class PortGuest implements Guest {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  readonly doorbell: PortDoorbell | undefined;
  readonly freePageHint: ((tell: FreeSpanListener) => FreePageRequest) | undefined;
  readonly #freePages: PortFreePages;
  readonly #api: Remote<ServedGuest>;
  readonly #guard = new PauseGuard();
  #shared: SharedMemory;
  #barrier: PortBarrier | null = null;
  #lost: VitrineError | undefined;
  #resting: Promise<void> = Promise.resolve();
  /** Marks that came along and nobody has taken; null when there are none. */
  #marks: SentMarks | null = null;
  #devices: Promise<DeviceRecord[]> | null = null;
  /** Written here and not told yet. */
  #written: Span[] = [];
  /** Written here since the last take of this pause. */
  #ownMarks: DirtyMarks | null = null;
  /** By region: whether marks that came in this pause tell of it. */
  #isMarked: readonly boolean[] = [];

  /** Use `connectGuest`. */
  constructor(
    api: Remote<ServedGuest>,
    { machine, regions, traits, shared, doorbell, tellsFreePages }: GuestOffer,
    lost: Promise<VitrineError>,
  ) {
    this.machine = machine;
    this.regions = regions;
    this.traits = traits;
    this.#api = api;
    this.#shared = shared;
    this.doorbell = doorbell && new PortDoorbell(api, doorbell);
    this.#freePages = new PortFreePages(api, regions);
    this.freePageHint = tellsFreePages === true ? (tell) => this.#askFreePages(tell) : undefined;
    void lost.then((reason) => {
      this.#lost = reason;
    });
  }

  get shared(): SharedMemory {
    return this.#shared;
  }

  async pause(needs: PauseNeeds = {}): Promise<void> {
    await this.#barrier?.opened;
    const isFirst = this.#guard.pause();
    if (isFirst) this.#resting = this.#rest(needs);
    try {
      await this.#resting;
      // Paused before by someone who did not ask for them.
      if (!isFirst && needs.marks === true && this.#marks === null) this.#take(await this.#api.marks());
    } catch (error) {
      if (this.#guard.state === 'paused') this.#guard.resume();
      throw error;
    }
  }

  async resume(): Promise<void> {
    if (!this.#guard.resume()) return;
    if (this.#marks !== null) this.#settle(this.#marks, false);
    this.#marks = null;
    this.#ownMarks = null;
    this.#isMarked = [];
    this.#devices = null;
    // Posted before, so served before: the guest notices what was written before it runs.
    const noticed = this.#tellWritten();
    await Promise.all([noticed, this.#barrier?.armed, this.#api.resume()]);
  }

  takeDirty(): DirtyTake {
    this.#guard.requirePaused();
    const own = this.#ownMarks?.take();
    const sent = this.#marks;
    this.#marks = null;
    if (sent !== null) {
      this.#ownMarks ??= cleanMarks(this.regions);
      this.#isMarked = sent.words.map((words) => words !== null);
    }
    let settled = false;
    const once = (settle: () => void): void => {
      if (!settled) settle();
      settled = true;
    };
    return {
      pages: this.regions.map((region) => {
        if (this.#isMarked[region.id] !== true) return null;
        const pages = own?.pages[region.id]?.clone() ?? new PageSet(pageCountOf(region));
        const words = sent?.words[region.id];
        if (words) pages.addAll(new PageSet(pages.pageCount, words));
        return pages;
      }),
      commit: () => once(() => sent && this.#settle(sent, true)),
      putBack: () =>
        once(() => {
          own?.putBack();
          if (sent === null) return;
          this.#settle(sent, false);
          this.#markAgain(sent);
        }),
    };
  }

  view(region: number): Uint8Array | undefined {
    this.#guard.requirePaused();
    const bytes = sharedBytes(this.#shared, region);
    return bytes?.length === this.regions[region]?.sizeBytes ? bytes : undefined;
  }

  readPages(span: Span, into: Uint8Array): void | Promise<void> {
    this.#guard.requirePaused();
    regionOf(this.regions, span);
    if (!isSpanShared(this.#shared, span)) return this.#read(span, into);
    const { region, offsetBytes, lengthBytes } = span;
    // Safe: the span was found in this region's bytes.
    into.set(sharedBytes(this.#shared, region)!.subarray(offsetBytes, offsetBytes + lengthBytes));
  }

  writePages(span: Span, from: Uint8Array): void | Promise<void> {
    this.#guard.requirePaused();
    const { sizeBytes } = regionOf(this.regions, span);
    if (span.lengthBytes === 0) return undefined;
    this.#ownMarks?.mark(span);
    const bytes = sharedBytes(this.#shared, span.region);
    // Under a barrier the guest has to copy the old bytes aside first.
    if (bytes?.length !== sizeBytes || this.#barrier !== null) return this.#write(span, from);
    bytes.set(from.subarray(0, span.lengthBytes), span.offsetBytes);
    this.#written.push(span);
    return this.#written.length >= MAX_SPANS ? this.#tellWritten() : undefined;
  }

  async saveDevices(): Promise<DeviceRecord[]> {
    this.#guard.requirePaused();
    await this.#tellWritten();
    const coming = this.#devices;
    this.#devices = null;
    return coming ?? this.#api.devices();
  }

  async loadDevices(records: readonly DeviceRecord[]): Promise<void> {
    this.#guard.requirePaused();
    this.#devices = null;
    await this.#tellWritten();
    await this.#api.loadDevices(records);
  }

  openBarrier({ ringBytes }: BarrierOptions): Barrier {
    this.#guard.requireOpen();
    if (this.traits.tracking !== 'barrier') throw new VitrineError('unsupported', { missing: 'a barrier' });
    if (this.#barrier !== null) {
      throw new VitrineError('wrong-state', { actual: 'a barrier is open', required: 'none' });
    }
    const api = this.#api;
    this.#barrier = new PortBarrier(
      {
        open: (call) => api.openBarrier(call),
        arm: (awaited) => api.armBarrier(awaited as Uint32Array<ArrayBuffer>[]),
        settle: () => api.settleBarrier(),
        close: () => api.closeBarrier(),
        view: (region) => this.#covered(region),
        isShared: (region) => sharedBytes(this.#shared, region)?.length === this.regions[region]?.sizeBytes,
        pageBytes: (region) => this.regions[region]!.pageBytes,
        check: () => {
          if (this.#lost !== undefined) throw this.#lost;
        },
        onClose: () => {
          this.#barrier = null;
        },
      },
      ringBytes,
    );
    return this.#barrier;
  }

  /** An old page that the guest's own thread sends. */
  takeSpilled(spilled: SpilledPage): void {
    this.#barrier?.take(spilled);
  }

  async close(): Promise<void> {
    if (this.#guard.close()) await this.#api.close();
  }

  async #rest(needs: PauseNeeds): Promise<void> {
    const resting = this.#api.rest(needs);
    if (needs.devices === true) {
      // Asked for at once, so that they are saved while memory is compared here.
      this.#devices = this.#api.devices();
      this.#devices.catch(() => {});
    }
    const { marks, shared } = await resting;
    this.#marks = null;
    if (marks !== undefined) this.#take(marks);
    if (shared !== undefined) this.#shared = shared;
  }

  /** What the guest told before comes first: these marks may say that it was written since it was asked. */
  #take(marks: SentMarks): void {
    this.#freePages.hear(marks.free);
    this.#marks = marks;
  }

  #askFreePages(tell: FreeSpanListener): FreePageRequest {
    this.#guard.requirePaused();
    return this.#freePages.ask(tell);
  }

  /** A region that its barrier covers, also while the guest runs. */
  #covered(region: number): Uint8Array {
    const bytes = sharedBytes(this.#shared, region);
    assert(bytes !== undefined, 'a barrier reaches here only in shared memory');
    return bytes;
  }

  async #read(span: Span, into: Uint8Array): Promise<void> {
    into.set(await this.#api.read(span));
  }

  async #write(span: Span, from: Uint8Array): Promise<void> {
    const bytes = copyBytes(from.subarray(0, span.lengthBytes));
    await this.#tellWritten();
    await this.#api.write(span, transfer(bytes, [bytes.buffer]));
  }

  async #tellWritten(): Promise<void> {
    if (this.#written.length === 0) return;
    const spans = this.#written;
    this.#written = [];
    await this.#api.noticeWritten(spans);
  }

  /** Marks that were put back are over there again only for the next pause: in this one the next take has them from here. */
  #markAgain(sent: SentMarks): void {
    for (const region of this.regions) {
      const words = sent.words[region.id];
      if (!words) continue;
      const pages = new PageSet(pageCountOf(region), words);
      const coming = this.#marks?.words[region.id];
      if (coming) new PageSet(pages.pageCount, coming).addAll(pages);
      else this.#ownMarks?.markPages(region.id, pages);
    }
  }

  #settle({ take }: SentMarks, isSafe: boolean): void {
    this.#api.settle(take, isSafe).catch(() => {});
  }
}

/** Marks of which none is set: `DirtyMarks` begin with all. */
function cleanMarks(regions: readonly Region[]): DirtyMarks {
  const marks = new DirtyMarks(regions);
  marks.take().commit();
  return marks;
}
