// Runs in a thread of its own: a small guest in shared memory, served at a port, that does what a test says: it writes, rings
// its doorbell, and answers questions about free pages when it is told to.

import { parentPort } from 'node:worker_threads';
import { FlatGuest } from '../../src/guest/flat.ts';
import type { FreeSpanListener } from '../../src/guest/free-pages.ts';
import { exposeGuest, type GuestServer, offerOf } from '../../src/rpc/guest-port.ts';

/** Pages of its memory; the first bytes hold `a`, `b`, `c` … */
export const PAGE_COUNT = 8;
export const PAGE_BYTES = 4096;

/** What it is told. It answers each with an `AskingThreadAnswer`, when it is done. */
export type AskingThreadMessage =
  | { readonly kind: 'serve'; readonly port: MessagePort }
  | { readonly kind: 'release' }
  | { readonly kind: 'look' }
  | { readonly kind: 'run'; readonly steps: number }
  | { readonly kind: 'write'; readonly page: number; readonly letter: string }
  | { readonly kind: 'ring'; readonly word: number; readonly times: number }
  | { readonly kind: 'tell'; readonly question: number; readonly page: number; readonly times: number }
  | { readonly kind: 'answer'; readonly question: number };

export interface AskingThreadAnswer {
  readonly offer: ReturnType<typeof offerOf>;
  /** What its program reads at the doorbell. */
  readonly word: number;
  readonly steps: number;
  readonly isResting: boolean;
  /** Questions so far, and which of them were ended by whoever asked. */
  readonly questions: readonly { readonly hasEnded: boolean }[];
}

class AskingGuest extends FlatGuest {
  readonly questions: { readonly tell: FreeSpanListener; answer(): void; hasEnded: boolean }[] = [];
  rests = 0;

  override freePageHint = (tell: FreeSpanListener) => {
    let answer = () => {};
    const done = new Promise<void>((resolve) => (answer = resolve));
    const question = { tell, answer, hasEnded: false };
    this.questions.push(question);
    const end = (): void => {
      question.hasEnded = true;
    };
    return { done, end };
  };

  override async pause(): Promise<void> {
    await super.pause();
    this.rests++;
  }

  override pauseNow(): void {
    super.pauseNow();
    this.rests++;
  }

  override resumeNow(): void {
    super.resumeNow();
    this.rests--;
  }

  override async resume(): Promise<void> {
    await super.resume();
    this.rests--;
  }
}

const ram = new Uint8Array(new SharedArrayBuffer(PAGE_COUNT * PAGE_BYTES));
for (let page = 0; page < PAGE_COUNT; page++) ram[page * PAGE_BYTES] = 'a'.charCodeAt(0) + page;
const guest = new AskingGuest({ regions: [{ name: 'ram', bytes: ram }], tracking: 'marks' });
let server: GuestServer | undefined;

async function obey(message: AskingThreadMessage): Promise<void> {
  if (message.kind === 'serve') server = exposeGuest(guest, message.port);
  else if (message.kind === 'release') await server?.release();
  else if (message.kind === 'run') guest.run(message.steps);
  else if (message.kind === 'write')
    guest.write(0, message.page * PAGE_BYTES, Uint8Array.of(message.letter.charCodeAt(0)));
  else if (message.kind === 'ring') for (let i = 0; i < message.times; i++) ring(message.word);
  else if (message.kind === 'tell') for (let i = 0; i < message.times; i++) tell(message);
  else if (message.kind === 'answer') guest.questions[message.question]!.answer();
}

/** A program that rests cannot ring again. */
function ring(word: number): void {
  if (guest.rests === 0) guest.ring(word);
}

function tell({ question, page }: { readonly question: number; readonly page: number }): void {
  const offsetBytes = page * PAGE_BYTES;
  guest.questions[question]!.tell({ region: 0, offsetBytes, lengthBytes: PAGE_BYTES });
}

parentPort!.on('message', (message: AskingThreadMessage) => {
  void obey(message).then(() => {
    const answer: AskingThreadAnswer = {
      offer: offerOf(guest),
      word: guest.doorbell.word,
      steps: guest.steps,
      isResting: guest.rests > 0,
      questions: guest.questions.map(({ hasEnded }) => ({ hasEnded })),
    };
    parentPort!.postMessage(answer);
  });
});
