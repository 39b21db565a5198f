// A transfer over two streams of bytes: the calls of a `SnapshotReceiver` as messages one way, their answers the other way.
//
//   | Offset | Size | Field                                             |
//   |--------|------|---------------------------------------------------|
//   | 0      | 1    | 1 known, 2 missing, 3 pack, 4 finish              |
//   | 1      | 4    | bytes of the body, little-endian                  |
//
// | Message | From the sender           | From the receiver                                |
// |---------|---------------------------|--------------------------------------------------|
// | known   | ids, 32 bytes each        | a byte an id: 1 where it has the snapshot        |
// | missing | digests, 32 bytes each    | a byte a digest: 1 where it lacks the object     |
// | pack    | a pack                    | nothing                                          |
// | finish  | the manifest              | nothing                                          |
//
// Each message is answered by one of its kind before the next one. An error ends the request instead.

import { ByteReader } from '../base/byte-reader.ts';
import { concatBytes, fromHex, type OwnedBytes, toHex } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { MAX_OFFERED, type SnapshotReceiver, TRANSFER_BATCH } from '../engine/transfer.ts';

const KINDS = { known: 1, missing: 2, pack: 3, finish: 4 } as const;
type Kind = keyof typeof KINDS;

const HEADER_BYTES = 5;
const DIGEST_BYTES = 32;

/** Bodies that a sender may send, and a receiver. */
const MOST_SENT: Record<Kind, number> = {
  known: MAX_OFFERED * DIGEST_BYTES,
  missing: TRANSFER_BATCH * DIGEST_BYTES,
  pack: LIMITS.packBytes + LIMITS.frameBytes,
  finish: LIMITS.maxManifestBytes,
};
const MOST_ANSWERED: Record<Kind, number> = {
  known: MAX_OFFERED,
  missing: TRANSFER_BATCH,
  pack: 0,
  finish: 0,
};

/** Sends a message's bytes; resolves when there is room for more. */
export type SendBytes = (bytes: OwnedBytes) => Promise<void>;

/** A receiver at the other end of two streams. One call at a time, as a sender makes them. */
export function remoteReceiver(send: SendBytes, answers: AsyncIterable<OwnedBytes>): SnapshotReceiver {
  const reader = new MessageReader(answers, MOST_ANSWERED);
  const ask = async (kind: Kind, body: OwnedBytes): Promise<OwnedBytes> => {
    await send(encodeMessage(kind, body));
    const answer = await reader.next();
    if (answer?.kind !== kind) throw outOfStep(answer?.kind);
    return answer.body;
  };
  return {
    async known(ids) {
      // Safe: ids are digests in hexadecimal.
      const flags = await ask('known', concatBytes(ids.map((id) => fromHex(id)!)));
      if (flags.length !== ids.length) throw outOfStep('known');
      return ids.filter((_, index) => flags[index] === 1);
    },
    async missing(digests) {
      const flags = await ask('missing', digests);
      if (flags.length !== digests.length / DIGEST_BYTES) throw outOfStep('missing');
      return Array.from(flags, (flag) => flag === 1);
    },
    async putPack(pack) {
      await ask('pack', pack);
    },
    async finish(manifest) {
      await ask('finish', manifest);
    },
  };
}

/**
 * Answers a sender at the other end with `receiver`, until its manifest has come.
 *
 * Returns what `finish` gave. Throws `format-*` for what is no message or comes at the wrong time, and what the receiver
 * throws.
 */
export async function answerSender<Finished>(
  receiver: SnapshotReceiver<Finished>,
  messages: AsyncIterable<OwnedBytes>,
  send: SendBytes,
): Promise<Finished | null> {
  const reader = new MessageReader(messages, MOST_SENT);
  for (;;) {
    const message = await reader.next();
    if (message === undefined) return null;
    const { kind, body } = message;
    switch (kind) {
      case 'known': {
        const ids = digestsOf(body).map(toHex);
        const known = new Set(await receiver.known(ids));
        await send(
          encodeMessage(
            kind,
            Uint8Array.from(ids, (id) => (known.has(id) ? 1 : 0)),
          ),
        );
        break;
      }
      case 'missing': {
        digestsOf(body);
        const missing = await receiver.missing(body);
        await send(
          encodeMessage(
            kind,
            Uint8Array.from(missing, (isMissing) => (isMissing ? 1 : 0)),
          ),
        );
        break;
      }
      case 'pack':
        await receiver.putPack(body);
        await send(encodeMessage(kind, new Uint8Array(0)));
        break;
      case 'finish': {
        const finished = await receiver.finish(body);
        await send(encodeMessage(kind, new Uint8Array(0)));
        return finished;
      }
    }
  }
}

function encodeMessage(kind: Kind, body: OwnedBytes): OwnedBytes {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = KINDS[kind];
  new DataView(header.buffer).setUint32(1, body.length, true);
  return concatBytes([header, body]);
}

function digestsOf(body: OwnedBytes): OwnedBytes[] {
  if (body.length % DIGEST_BYTES !== 0) {
    throw new VitrineError('format-range', { record: 'transfer', field: 'digests', value: body.length });
  }
  return Array.from({ length: body.length / DIGEST_BYTES }, (_, index) =>
    body.slice(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES),
  );
}

function outOfStep(kind: string | undefined): VitrineError {
  return new VitrineError('format-range', { record: 'transfer', field: 'answer', value: kind ?? 'end' });
}

/** Messages out of a stream; a body is gathered as it comes, never on the word of its length. */
class MessageReader {
  readonly #bytes: AsyncIterator<OwnedBytes>;
  readonly #most: Record<Kind, number>;
  #parts: OwnedBytes[] = [];
  #held = 0;

  constructor(bytes: AsyncIterable<OwnedBytes>, most: Record<Kind, number>) {
    this.#bytes = bytes[Symbol.asyncIterator]();
    this.#most = most;
  }

  /** The next message; undefined when the stream ended between two. Throws `format-*`. */
  async next(): Promise<{ readonly kind: Kind; readonly body: OwnedBytes } | undefined> {
    if (!(await this.#fill(HEADER_BYTES))) {
      if (this.#held === 0) return undefined;
      throw new VitrineError('format-truncated', { record: 'transfer', presentBytes: this.#held });
    }
    const header = new ByteReader(this.#take(HEADER_BYTES), 'transfer');
    const tag = header.u8();
    // Safe: the keys of a constant table are its type.
    const kind = (Object.keys(KINDS) as Kind[]).find((one) => KINDS[one] === tag);
    if (kind === undefined) return header.refuse('format-tag', { field: 'kind', tag });
    const lengthBytes = header.u32();
    if (lengthBytes > this.#most[kind]) {
      header.refuse('format-limit', { field: kind, claimedBytes: lengthBytes, mostBytes: this.#most[kind] });
    }
    if (!(await this.#fill(lengthBytes))) {
      throw new VitrineError('format-truncated', { record: 'transfer', neededBytes: lengthBytes });
    }
    return { kind, body: this.#take(lengthBytes) };
  }

  async #fill(lengthBytes: number): Promise<boolean> {
    while (this.#held < lengthBytes) {
      const { value, done } = await this.#bytes.next();
      if (done === true) return false;
      this.#parts.push(value);
      this.#held += value.length;
    }
    return true;
  }

  #take(lengthBytes: number): OwnedBytes {
    const taken: OwnedBytes[] = [];
    let left = lengthBytes;
    while (left > 0) {
      // Safe: so much is held.
      const part = this.#parts[0]!;
      if (part.length <= left) {
        taken.push(part);
        this.#parts.shift();
      } else {
        taken.push(part.subarray(0, left));
        this.#parts[0] = part.subarray(left);
      }
      left -= Math.min(part.length, left);
    }
    this.#held -= lengthBytes;
    return concatBytes(taken);
  }
}
