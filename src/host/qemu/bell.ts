// The doorbell of a QEMU machine: a virtio-serial port, `/dev/virtio-ports/org.vitrine.bell` in a Linux. A program writes a line and
// reads the answer, as with `fork`: `saved` where it goes on, `restored` where the machine was brought back to the instant of the ring.
//
//   line ─▶ desk: served? not too often? ─▶ server ─▶ answer          state is loaded in which somebody waits ─▶ `restored`
//
// The program waits and the machine does not: it rests as long as any save makes it rest. So the instant of a ring is one at which
// its program waits for the answer. That somebody waits is part of the snapshot, as a device record, since whoever restores it owes an
// answer then; of snapshots that others asked for, too.
//
// One ring at a time. Lines that come meanwhile are refused behind it, up to a number, and then the port is held: a guest that does not
// wait for its answers waits for us. Answers are said while the machine runs, and to a port that is open.
//
// A machine at rest takes nothing of what was said to it. So it is stopped only when it has taken that (`hush`): an answer that was on its way
// would be in no copy of the machine, and whoever waits there would wait for ever.

import { SYSTEM_CLOCK } from '../../base/clock.ts';
import {
  DOORBELL_WORDS,
  type Doorbell,
  type DoorbellCounts,
  DoorbellDesk,
  type DoorbellServer,
} from '../../guest/doorbell.ts';
import type { DeviceRecord } from '../../guest/guest.ts';
import {
  answerLine,
  type BellRing,
  type BellWord,
  encodeBellRecord,
  MAX_BELL_LINE_BYTES,
  readRing,
  tagOf,
} from './bell-line.ts';
import { type BellPort, connectBellPort } from './bell-port.ts';
import { BELL_PORT_NAME } from './profile.ts';
import type { Qmp } from './qmp.ts';

/** Lines that are refused behind a ring before the port is held. */
const MAX_BEHIND = 256;
/** Before a refusal is said: whoever asks again at once does so at most so often. */
const REFUSAL_REST_MS = 20;
/** No word of the desk's: it refuses it. */
const NO_WORD = 0;

/** Connects to the bell of a process. Throws `guest-lost`. */
export async function connectBell(path: string, qmp: Qmp): Promise<QemuBell> {
  let hear = (_line: string | undefined): void => {};
  const port = await connectBellPort(path, qmp, {
    maxLineBytes: MAX_BELL_LINE_BYTES,
    onLine: (line) => hear(line),
  });
  // One that was found runs already.
  const { running } = await qmp.execute('query-status');
  const bell = new QemuBell(port, qmp, { rests: !running });
  hear = (line) => bell.hear(line);
  return bell;
}

/** Why a ring never came to its server. */
export type TurnedAway = 'too-often' | 'not-understood' | 'busy';

interface Answer {
  readonly text: string;
  /** Who waits for it. */
  readonly tag: string;
}

export class QemuBell implements Doorbell {
  readonly place = `virtio port ${BELL_PORT_NAME}`;
  readonly instant = 'the wait';
  readonly #desk = new DoorbellDesk(this.place, this.instant, SYSTEM_CLOCK);
  readonly #port: BellPort;
  #ring: BellRing | undefined;
  #details = '';
  #reason = '';
  #behind: string[] = [];
  /** Answers on their way. */
  #unsaid: Answer[] = [];
  /** The tag of whoever waited in the state that was loaded last, until it runs. */
  #owed: Answer | undefined;
  /** Raised when the guest is brought to another instant: rings from before are of nobody. */
  #era = 0;
  #snapshot: () => string | null = () => null;
  #onTurnedAway: (word: BellWord | null, why: TurnedAway) => void = () => {};
  #rests: boolean;
  /** Settles when what was to be said has been taken, or waits for the machine to run. Never rejects. */
  #saying: Promise<void> = Promise.resolve();
  /** Settles when the rings so far were answered. */
  #turn: Promise<void> = Promise.resolve();
  #qmp: Qmp;
  #leave: () => void;

  constructor(port: BellPort, qmp: Qmp, { rests }: { readonly rests: boolean }) {
    this.#port = port;
    this.#rests = rests;
    this.#qmp = qmp;
    this.#leave = this.#watch();
  }

  #watch(): () => void {
    return this.#qmp.onEvent(({ event }) => {
      if (event === 'STOP') this.#rests = true;
      if (event === 'RESUME') this.#runOn();
    });
  }

  /**
   * The machine, at rest and settled, goes on in another process, whose bell `next` is and which is of no use from now on. Who waits
   * here is answered there.
   */
  async follow(next: QemuBell): Promise<void> {
    await this.#port.follow(next.#port);
    this.#leave();
    next.#leave();
    this.#qmp = next.#qmp;
    this.#leave = this.#watch();
  }

  /** Runs `work` when the rings so far were answered; those that come meanwhile are served after it. */
  between<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  get counts(): DoorbellCounts {
    return this.#desk.counts;
  }

  serve(server: DoorbellServer, options: { readonly maxPerSecond: number }): void {
    this.#desk.serve(server, options);
  }

  stop(): void {
    this.#desk.stop();
  }

  /** Hears of rings that do not come to the server while one serves; `word` is null for what is none. */
  hearTurnedAway(listener: (word: BellWord | null, why: TurnedAway) => void): void {
    this.#onTurnedAway = listener;
  }

  /** The ring in hand, with what the desk does not know of it. */
  get ring(): BellRing | undefined {
    return this.#ring;
  }

  /** Says `words` behind `saved`. For the server, of the ring in hand. */
  addDetails(words: string): void {
    this.#details = words;
  }

  /** Says why the ring in hand is refused, in a word or two. For the server. */
  addReason(words: string): void {
    this.#reason = words;
  }

  /** Resolves when the machine has taken what was said to it, as far as it has room. Never rejects. */
  untilTaken(): Promise<void> {
    return this.#saying;
  }

  /** The machine is about to rest: as `untilTaken`, and from now on nothing is said before it runs again. */
  hush(): Promise<void> {
    this.#rests = true;
    return this.#saying;
  }

  /** The machine rests: resolves when nothing moves through the port. Throws `guest-lost`. */
  settle(): Promise<void> {
    return this.#port.settle();
  }

  /** Who waits for an answer at this instant. */
  record(): DeviceRecord {
    return encodeBellRecord(this.#ring?.tag ?? this.#unsaid[0]?.tag ?? this.#owed?.tag ?? null);
  }

  /** Asked which snapshot the machine is being brought to, null for a checkpoint. */
  nameSnapshotsBy(snapshot: () => string | null): void {
    this.#snapshot = snapshot;
  }

  /**
   * The machine, at rest, was brought to an instant of `snapshot`, or of a checkpoint, at which somebody waited with this tag, null
   * for nobody. It is answered when the machine runs.
   */
  loaded(tag: string | null, snapshot: string | null = this.#snapshot()): void {
    this.#era++;
    this.#ring = undefined;
    this.#behind = [];
    this.#unsaid = [];
    this.#port.forget();
    this.#desk.restored();
    this.#owed = tag === null ? undefined : { text: answerLine(['restored', snapshot ?? '', tag]), tag };
  }

  close(): void {
    this.#leave();
    this.stop();
    this.#port.close();
  }

  /** @internal A line of the guest's; undefined for one that is none. */
  hear(line: string | undefined): void {
    const ring = line === undefined ? undefined : readRing(line);
    const tag = line === undefined ? '' : tagOf(line);
    if (this.#ring !== undefined) {
      this.#refuseBehind(tag, ring?.word ?? null);
      return;
    }
    const asked: BellRing = ring ?? { word: 'reset', label: '', tag };
    this.#ring = asked;
    // The one before may have put the machine back, and is not over while its server has the machine.
    const era = this.#era;
    this.#turn = this.#turn.then(() => this.#answer(asked, ring !== undefined, era));
  }

  /** Never throws, since a desk does not. */
  async #answer(ring: BellRing, isKnown: boolean, era: number): Promise<void> {
    if (this.#era !== era) return;
    this.#details = this.#reason = '';
    const asks = ring.word === 'reset' ? DOORBELL_WORDS.reset : DOORBELL_WORDS.save;
    if (this.#desk.ring(isKnown ? asks : NO_WORD)) await this.#desk.attend();
    else {
      this.#reason = isKnown ? 'too-often' : 'not-understood';
      this.#tellTurnedAway(isKnown ? ring.word : null, isKnown ? 'too-often' : 'not-understood');
    }
    const { word } = this.#desk;
    const isFirst = word === DOORBELL_WORDS.first;
    if (!isFirst && word !== DOORBELL_WORDS.restored) await rest(REFUSAL_REST_MS);
    // Whoever asked to be put back reads the answer of the instant that it was put back to.
    if (this.#era !== era) return;
    this.#ring = undefined;
    if (isFirst) this.#say(ring.tag, 'saved', this.#details);
    else if (word === DOORBELL_WORDS.nobody) this.#say(ring.tag, 'nobody');
    else this.#say(ring.tag, 'refused', this.#reason);
    for (const tag of this.#behind.splice(0)) this.#say(tag, 'refused', 'busy');
    this.#port.goOn();
  }

  /** Counts as a ring that was refused; its answer comes behind that of the ring in hand. */
  #refuseBehind(tag: string, word: BellWord | null): void {
    this.#behind.push(tag);
    this.#desk.ring(NO_WORD);
    this.#tellTurnedAway(word, 'busy');
    if (this.#behind.length === MAX_BEHIND) this.#port.hold();
  }

  #tellTurnedAway(word: BellWord | null, why: TurnedAway): void {
    if (this.#desk.word !== DOORBELL_WORDS.nobody) this.#onTurnedAway(word, why);
  }

  #say(tag: string, ...words: readonly string[]): void {
    this.#unsaid.push({ text: answerLine([...words, tag]), tag });
    this.#saying = this.#saying.then(() => this.#sayAll());
  }

  /** The machine runs. */
  #runOn(): void {
    this.#rests = false;
    this.#port.goOn();
    this.#saying = this.#saying.then(() => this.#sayOwed()).then(() => this.#sayAll());
  }

  /** Never throws: a machine that is lost hears nothing. */
  async #sayOwed(): Promise<void> {
    const owed = this.#owed;
    if (owed === undefined || this.#rests) return;
    this.#owed = undefined;
    // Its port is open, though QEMU may not say so yet.
    this.#port.say(owed.text);
    await this.#port.untilOpenAndTaken().catch(() => {});
  }

  /** Never throws. */
  async #sayAll(): Promise<void> {
    try {
      while (this.#unsaid.length > 0 && !this.#rests) {
        const isHeard = await this.#port.isOpen();
        // Stopped meanwhile: it is said when the machine runs on.
        if (this.#rests) return;
        const answers = this.#unsaid.splice(0);
        // To one that closed the port it would come as the answer to whoever opens it next.
        if (!isHeard) continue;
        for (const { text } of answers) this.#port.say(text);
        await this.#port.untilTaken();
      }
    } catch {
      this.#unsaid = [];
    }
  }
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
