// Who is known to the bridge: holders of tokens, sessions of browsers, and the tickets either got for one connection.
//
// A cookie alone opens nothing: browsers send it to every port of a host, so that another server on localhost would get
// it. The page keeps a proof beside it in its origin's storage, and sends that as a header.

import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { type Grant, type GrantTable, grantOf } from '../../bridge/grant.ts';
import { OWNER_ACCESS } from './grant.ts';
import { Refusal } from './refusal.ts';
import { digestOf, isSecret, newSecret, SecretTable } from './secret-table.ts';
import type { ServerLimits } from './server-limits.ts';

/** Somebody who may do something. */
export interface Identity {
  /** For logs, the audit and counting connections; no secret. */
  readonly id: string;
  readonly grant: Grant;
}

/** Somebody beside the owner. */
export interface NamedToken {
  readonly name: string;
  /** SHA-256 of the token; undefined for one who comes by addresses alone, which the owner gives out. */
  readonly digest: Buffer | undefined;
  readonly access: GrantTable;
}

export interface OpenedSession {
  readonly identity: Identity;
  readonly cookie: string;
  readonly proof: string;
}

interface Session extends Identity {
  readonly proofDigest: Buffer;
}

/** The header that carries a session's proof. */
export const PROOF_HEADER = 'x-vitrine-proof';

/** What stands before a ticket among the subprotocols. */
export const TICKET_PREFIX = 'ticket.';

const OWNER = 'owner';
/** Of a program that has the bridge's own token. */
export const OWNER_ID = tokenId(OWNER);

function tokenId(name: string): string {
  return `token:${name}`;
}

export class Keyring {
  readonly #tokens: readonly {
    readonly name: string;
    readonly digest: Buffer;
    readonly identity: Identity;
  }[];
  readonly #keys: SecretTable<Identity>;
  readonly #sessions: SecretTable<Session>;
  readonly #tickets: SecretTable<Identity>;
  #sessionCount = 0;

  constructor(options: {
    readonly ownerToken: string;
    readonly tokens: readonly NamedToken[];
    readonly limits: ServerLimits;
    readonly clock: Clock;
  }) {
    const { ownerToken, tokens, limits, clock } = options;
    const owner = { name: OWNER, digest: digestOf(ownerToken), access: OWNER_ACCESS };
    this.#tokens = [owner, ...tokens].map(({ name, digest, access }) => ({
      name,
      // Nobody has that one: it is forgotten here.
      digest: digest ?? digestOf(newSecret()),
      identity: { id: tokenId(name), grant: grantOf(name, access) },
    }));
    this.#keys = new SecretTable({ clock, lifeMs: limits.keyMs, maxRows: limits.keys });
    this.#sessions = new SecretTable({ clock, lifeMs: limits.sessionMs, maxRows: limits.sessions });
    this.#tickets = new SecretTable({ clock, lifeMs: limits.ticketMs, maxRows: limits.tickets });
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get owner(): Identity {
    return this.#tokens[0]!.identity;
  }

  /** Who holds the bearer token of a request; undefined without one. Throws `token-invalid`. */
  bearer(headers: IncomingHttpHeaders): Identity | undefined {
    const { authorization } = headers;
    if (authorization === undefined) return undefined;
    // The characters that RFC 6750 has for tokens: base64 among them, as `openssl rand` writes it.
    const token = /^Bearer ([A-Za-z0-9._~+/-]{20,128}={0,2})$/.exec(authorization)?.[1] ?? '';
    // All of them, whichever matches: the time tells nothing.
    const matching = this.#tokens.filter(({ digest }) => isSecret(token, digest));
    if (matching[0] === undefined) throw new Refusal('token-invalid');
    return matching[0].identity;
  }

  /** Who goes by that name in the configuration. */
  named(name: string): Identity | undefined {
    return this.#tokens.find((token) => token.name === name)?.identity;
  }

  /** A key that opens one session for whoever `identity` is. */
  mintKey(identity: Identity): string {
    return this.#keys.mint(identity);
  }

  /** A session for the holder of a key, which is used up. Throws `key-invalid`. */
  openSession(key: string): OpenedSession {
    const holder = this.#keys.take(key);
    if (holder === undefined) throw new Refusal('key-invalid');
    this.#sessionCount += 1;
    const identity = { id: `session:${this.#sessionCount}`, grant: holder.grant };
    const proof = newSecret();
    return { identity, proof, cookie: this.#sessions.mint({ ...identity, proofDigest: digestOf(proof) }) };
  }

  /** The session of a cookie and the proof beside it. Throws `session-missing`. */
  session(cookie: string | undefined, headers: IncomingHttpHeaders): Identity {
    const proof = headers[PROOF_HEADER];
    const session = cookie === undefined ? undefined : this.#sessions.get(cookie);
    if (session === undefined || typeof proof !== 'string' || !isSecret(proof, session.proofDigest)) {
      throw new Refusal('session-missing');
    }
    return session;
  }

  /** Ends a session; its tickets end by themselves within seconds. */
  closeSession(cookie: string): void {
    this.#sessions.take(cookie);
  }

  mintTicket(identity: Identity): string {
    return this.#tickets.mint(identity);
  }

  /** Whose ticket it was; it is used up. Throws `ticket-invalid`. */
  takeTicket(ticket: string): Identity {
    const identity = this.#tickets.take(ticket);
    if (identity === undefined) throw new Refusal('ticket-invalid');
    return identity;
  }
}
