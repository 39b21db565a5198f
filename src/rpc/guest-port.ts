// A guest with shared memory, served at a message port to a tracker in another worker: that one reads memory by itself, and
// asks here for rest, marks, devices and for what it wrote to be noticed. `PortGuest` is the other end.
//
// Whoever is served may die at any moment: what it had begun is ended by `release`. The guest then runs on, and marks that
// were taken and not told to be safe are put back.

import { expose, transfer } from 'comlink';
import { copyBytes, type OwnedBytes } from '../base/bytes.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { VitrineError } from '../base/error.ts';
import type { Barrier } from '../guest/barrier.ts';
import type {
  DeviceRecord,
  DirtyTake,
  Guest,
  GuestTraits,
  MachineDescription,
  PauseNeeds,
} from '../guest/guest.ts';
import type { BarrierPlace } from '../memory/barrier-block.ts';
import { PageSet } from '../memory/page-set.ts';
import { pageCountOf, type Region } from '../memory/region.ts';
import type { SharedMemory } from '../memory/shared-memory.ts';
import type { Span } from '../memory/span.ts';
import { SpillCredit } from '../memory/spill-credit.ts';
import { installErrorTransfer } from './error-transfer.ts';
import { BellServer, type DoorbellOffer, type ServedBell } from './port-doorbell.ts';
import { FreePagesServer, type SentFreePages, type ServedFreePages } from './port-free-pages.ts';

/** What another worker has to know of a guest to use it at its port. */
export interface GuestOffer {
  readonly machine: MachineDescription;
  readonly regions: readonly Region[];
  readonly traits: GuestTraits;
  readonly shared: SharedMemory;
  /** Where its programs ask to be saved; absent where they cannot. */
  readonly doorbell?: DoorbellOffer;
  /** Whether it can be asked which pages are free; not when left out. */
  readonly tellsFreePages?: boolean;
}

/** Marks on their way: a bitmap a region, null where the guest cannot tell; and the take to settle. */
export interface SentMarks {
  readonly take: number;
  readonly words: readonly (Uint32Array<ArrayBuffer> | null)[];
  /** What the guest told of free pages before these marks were taken, and was not sent yet. */
  readonly free?: SentFreePages;
}

/** The answer to a wish for rest. */
export interface Rested {
  readonly marks?: SentMarks;
  /** Where memory lies now, when it grew since it was told. */
  readonly shared?: SharedMemory;
}

/** A barrier that is wanted: its ring, and where the saver counts pages that it was sent. */
export interface OpenBarrierCall {
  readonly ringBytes: number;
  readonly credit: SharedArrayBuffer;
}

/** A barrier that the guest has opened: where its blocks lie, null where it covers a region only for its own thread. */
export interface ArmedBarrier {
  readonly places: readonly (BarrierPlace | null)[];
  readonly ringBytes: number;
}

/** A message of its own at the port: an old page for which the ring had no room. */
export interface SpilledPage {
  readonly kind: 'vitrine:spilled-page';
  readonly region: number;
  readonly page: number;
  readonly bytes: OwnedBytes;
  /** How long the guest waited for it. */
  readonly stallMs: number;
}

/** The calls at the port. Calls are served in the order in which they were made. */
export interface ServedGuest extends ServedFreePages, ServedBell {
  rest(needs: PauseNeeds): Promise<Rested>;
  /** Marks for one that asked for rest without them. */
  marks(): Promise<SentMarks>;
  /** Device state at the rest that was asked for before. */
  devices(): Promise<DeviceRecord[]>;
  resume(): Promise<void>;
  settle(take: number, isSafe: boolean): void;
  /** These bytes were written in shared memory: the guest forgets what it derived from the old ones. */
  noticeWritten(spans: readonly Span[]): Promise<void>;
  /** Bytes that are not in shared memory. */
  read(span: Span): Promise<OwnedBytes>;
  write(span: Span, bytes: OwnedBytes): Promise<void>;
  loadDevices(records: readonly DeviceRecord[]): Promise<void>;
  openBarrier(call: OpenBarrierCall): Promise<ArmedBarrier>;
  armBarrier(awaited: readonly Uint32Array<ArrayBuffer>[]): Promise<void>;
  /** Answers when the guest's thread is not in the middle of a write. */
  settleBarrier(): Promise<void>;
  closeBarrier(): Promise<void>;
  close(): Promise<void>;
}

/** What to tell of a guest that can be served; undefined when its memory is not shared. */
export function offerOf(guest: Guest): GuestOffer | undefined {
  const { machine, regions, traits, shared, doorbell } = guest;
  if (shared === undefined) return undefined;
  const asks = doorbell && { doorbell: { place: doorbell.place, instant: doorbell.instant } };
  return { machine, regions, traits, shared, ...asks, tellsFreePages: guest.freePageHint !== undefined };
}

/** Serves a guest at a port. Returns what ends that. */
export function exposeGuest(guest: Guest, port: MessagePort): GuestServer {
  installErrorTransfer();
  const server = new GuestServer(guest, port);
  expose(server.api, port as unknown as Parameters<typeof expose>[1]);
  return server;
}

export class GuestServer {
  readonly #guest: Guest;
  readonly #port: MessagePort;
  readonly #takes = new Map<number, DirtyTake>();
  readonly #freePages: FreePagesServer;
  readonly #bell: BellServer;
  #takeCount = 0;
  #rests = 0;
  #resting: Promise<void> = Promise.resolve();
  #isReleased = false;
  #toldBytes: number;
  #barrier: Barrier | null = null;
  #credit: SpillCredit | null = null;

  constructor(guest: Guest, port: MessagePort) {
    this.#guest = guest;
    this.#port = port;
    this.#toldBytes = sizeOf(guest.shared);
    this.#freePages = new FreePagesServer(guest);
    this.#bell = new BellServer(guest, (ring) => port.postMessage(ring));
  }

  get api(): ServedGuest {
    return {
      rest: (needs) => this.#rest(needs),
      marks: async () => this.#takeMarks(),
      devices: async () => {
        await this.#resting;
        return this.#guest.saveDevices();
      },
      resume: () => this.#resume(),
      settle: (take, isSafe) => this.#settle(take, isSafe),
      noticeWritten: async (spans) => {
        for (const span of spans) await this.#noticeWritten(span);
      },
      read: async (span) => {
        const bytes = new Uint8Array(span.lengthBytes);
        await this.#guest.readPages(span, bytes);
        return transfer(bytes, [bytes.buffer]);
      },
      write: async (span, bytes) => this.#guest.writePages(span, bytes),
      loadDevices: async (records) => this.#guest.loadDevices(records),
      openBarrier: async (call) => this.#openBarrier(call),
      armBarrier: async (awaited) => this.#armBarrier(awaited),
      settleBarrier: async () => {},
      closeBarrier: async () => this.#closeBarrier(),
      askFreePages: (question) => this.#freePages.ask(question),
      endFreePages: async (question) => this.#freePages.end(question),
      serveDoorbell: (maxPerSecond) => this.#bell.serve(maxPerSecond),
      stopDoorbell: () => this.#bell.stop(),
      doorbellCounts: async () => this.#guest.doorbell!.counts,
      answerRing: async (ring, answer) => this.#bell.answer(ring, answer),
      close: () => this.#guest.close(),
    };
  }

  /** Ends all that was begun at the port, and the port: the guest runs on, no mark is lost. May be called again. */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#port.close();
    this.#closeBarrier();
    this.#freePages.end();
    await this.#bell.release();
    await this.#resting.catch(() => {});
    for (const take of this.#takes.values()) take.putBack();
    this.#takes.clear();
    while (this.#rests > 0) await this.#resume();
  }

  async #rest(needs: PauseNeeds): Promise<Rested> {
    if (this.#isReleased) throw new VitrineError('wrong-state', { actual: 'released', required: 'served' });
    const resting = this.#guest.pause(needs).then(() => {
      this.#rests++;
    });
    this.#resting = resting;
    await resting;
    const { shared } = this.#guest;
    const hasGrown = sizeOf(shared) !== this.#toldBytes;
    this.#toldBytes = sizeOf(shared);
    return {
      ...(needs.marks === true ? { marks: this.#takeMarks() } : {}),
      ...(hasGrown && shared !== undefined ? { shared } : {}),
    };
  }

  async #resume(): Promise<void> {
    if (this.#rests === 0) throw new VitrineError('wrong-state', { actual: 'running', required: 'paused' });
    this.#rests--;
    await this.#guest.resume();
  }

  #takeMarks(): SentMarks {
    const taken = this.#guest.takeDirty();
    const take = ++this.#takeCount;
    this.#takes.set(take, taken);
    const words = taken.pages.map((pages) => pages?.words.slice() ?? null);
    const free = this.#freePages.take();
    return { take, words, ...(free === null ? {} : { free }) };
  }

  #settle(take: number, isSafe: boolean): void {
    const taken = this.#takes.get(take);
    this.#takes.delete(take);
    if (isSafe) taken?.commit();
    else taken?.putBack();
  }

  #openBarrier({ ringBytes, credit }: OpenBarrierCall): ArmedBarrier {
    if (this.#guest.openBarrier === undefined)
      throw new VitrineError('unsupported', { missing: 'a barrier' });
    const barrier = this.#guest.openBarrier({ ringBytes, clock: SYSTEM_CLOCK });
    this.#barrier = barrier;
    this.#credit = new SpillCredit(credit);
    const places = this.#guest.regions.map(({ id }) => barrier.places?.[id] ?? null);
    return { places, ringBytes: barrier.ringBytes };
  }

  #armBarrier(awaited: readonly Uint32Array<ArrayBuffer>[]): void {
    const sets = this.#guest.regions.map((region) => new PageSet(pageCountOf(region), awaited[region.id]));
    this.#barrier?.arm(sets, (region, page, bytes) => this.#spill(region, page, bytes));
  }

  /** In the middle of an instruction of the guest: waits for the saver where it may, then sends the page. */
  #spill(region: number, page: number, old: Uint8Array): void {
    if (this.#credit === null || this.#credit.hasSaverLeft) return;
    const startMs = SYSTEM_CLOCK.nowMs();
    this.#credit.spend();
    const bytes = copyBytes(old);
    const stallMs = SYSTEM_CLOCK.nowMs() - startMs;
    const spilled: SpilledPage = { kind: 'vitrine:spilled-page', region, page, bytes, stallMs };
    this.#port.postMessage(spilled, [bytes.buffer]);
  }

  #closeBarrier(): void {
    this.#credit?.leaveAsGuest();
    this.#credit = null;
    this.#barrier?.close();
    this.#barrier = null;
  }

  /** The bytes are there: writing them onto themselves makes the guest do what belongs to a write. */
  #noticeWritten(span: Span): void | Promise<void> {
    const bytes = this.#guest.view(span.region);
    if (bytes === undefined)
      throw new VitrineError('unsupported', { missing: 'a view', region: span.region });
    const { offsetBytes, lengthBytes } = span;
    return this.#guest.writePages(span, bytes.subarray(offsetBytes, offsetBytes + lengthBytes));
  }
}

/** A memory that grew has more of a region than it had. */
function sizeOf(shared: SharedMemory | undefined): number {
  return shared?.regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? 0;
}
