// Secrets that the bridge hands out: one-time keys, sessions, tickets. It keeps their SHA-256 and never themselves, so
// that neither a heap dump nor a log can give one away, and it compares in constant time.
//
// | Secret | Given to | Good for |
// |---|---|---|
// | token | the file that only its owner reads | the CLI, as a bearer |
// | key | the fragment of the printed address | one session, once |
// | session | an HttpOnly cookie, with a proof beside it | tickets |
// | ticket | the page, in Sec-WebSocket-Protocol | one connection, once, within seconds |

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';

/** 32 random bytes as 43 characters that need no escape in headers, cookies and addresses. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** What is kept of a secret. */
export function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** Whether a secret from elsewhere is the one of that digest; takes the same time wherever they differ. */
export function isSecret(secret: string, digest: Buffer): boolean {
  return timingSafeEqual(digestOf(secret), digest);
}

interface Row<T> {
  readonly digest: Buffer;
  readonly value: T;
  readonly endsMs: number;
}

/** Secrets of one kind, each with what it stands for, until they expire. At most so many: the oldest one goes. */
export class SecretTable<T> {
  readonly #rows = new Map<string, Row<T>>();
  readonly #clock: Clock;
  readonly #lifeMs: number;
  readonly #maxRows: number;

  constructor(options: { readonly clock: Clock; readonly lifeMs: number; readonly maxRows: number }) {
    this.#clock = options.clock;
    this.#lifeMs = options.lifeMs;
    this.#maxRows = options.maxRows;
  }

  get size(): number {
    this.#forgetExpired();
    return this.#rows.size;
  }

  /** A new secret that stands for `value`. */
  mint(value: T): string {
    this.#forgetExpired();
    for (const name of this.#rows.keys()) {
      if (this.#rows.size < this.#maxRows) break;
      this.#rows.delete(name);
    }
    const secret = newSecret();
    const digest = digestOf(secret);
    this.#rows.set(digest.toString('hex'), { digest, value, endsMs: this.#clock.nowMs() + this.#lifeMs });
    return secret;
  }

  /** What a secret stands for; undefined when it is unknown or has expired. */
  get(secret: string): T | undefined {
    this.#forgetExpired();
    // Who asks chooses the secret but not its digest, so that the time of this look-up tells nothing of others.
    const row = this.#rows.get(digestOf(secret).toString('hex'));
    return row !== undefined && isSecret(secret, row.digest) ? row.value : undefined;
  }

  /** As `get`, and the secret is gone. */
  take(secret: string): T | undefined {
    const value = this.get(secret);
    if (value !== undefined) this.#rows.delete(digestOf(secret).toString('hex'));
    return value;
  }

  /** In order of minting, and all live as long: those that expired come first. */
  #forgetExpired(): void {
    const nowMs = this.#clock.nowMs();
    for (const [name, { endsMs }] of this.#rows) {
      if (endsMs > nowMs) break;
      this.#rows.delete(name);
    }
  }
}
