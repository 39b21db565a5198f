// Every bound of the bridge's server, each a key of the configuration file under `limits`. What peers send is checked
// against these before anything is kept.

import { VitrineError } from '../../base/error.ts';
import { KIB, MIB } from '../../base/limits.ts';
import { BRIDGE_LIMITS } from '../../bridge/bridge-limits.ts';

export const SERVER_LIMITS = {
  /** Header bytes of an upgrade, cookies left out: QEMU's own WebSocket takes 4,096. Cookies of every other program on
   * localhost come along, whatever its port, and have only Node's own bound of 16 KiB. */
  handshakeBytes: 4 * KIB,
  /** Header lines of an upgrade; Chromium sends 17. */
  handshakeHeaders: 32,
  /** How long a peer may take to send its headers. */
  handshakeMs: 5_000,
  /** How long a whole request may take; bodies are at most `bodyBytes`. */
  requestMs: 15_000,
  bodyBytes: 4 * KIB,
  /** Sockets of all kinds, those included that have sent nothing yet. */
  sockets: 256,
  connections: 32,
  connectionsPerSession: 8,
  /** One message on the wire. Bulk comes in frames of 512 KiB; `ws` alone would take 100 MiB. */
  messageBytes: MIB,
  /** Fragments of one message; `ws` alone takes 16,384, and tiny ones cost more memory than they hold. */
  fragments: 64,
  /** Chunks that the receiver may hold until a frame is whole: 1 MiB in packets of 536 bytes are 1,957, and single bytes
   * that never make a frame end here; `ws` alone takes 262,144. */
  bufferedChunks: 4_096,
  /** Past this no more messages are read from the peer. */
  highWaterBytes: 4 * MIB,
  /** Below this they are again. */
  lowWaterBytes: MIB,
  /** Past this the connection is ended. */
  outboundBytes: 16 * MIB,
  /** Bytes wait and none has left for so long: the connection is ended. */
  stalledMs: 30_000,
  /** Messages a second that one connection may send for long, and at once: what tiny ones cost is the handling of each.
   * Bulk in frames of 512 KiB comes to 1 GB/s before this holds it back; requests have a rate of their own in the session. */
  messagesPerSecond: 2_000,
  messageBurst: 4_000,
  /** Requests a second that one connection may make for long, and at once. */
  requestsPerSecond: BRIDGE_LIMITS.requestsPerSecond,
  requestBurst: BRIDGE_LIMITS.requestBurst,
  /** The same for programs of the bridge's own user, who needs no bridge to keep his host busy: a loop of resets is as quick as its machine. */
  ownerRequestsPerSecond: 2_000,
  ownerRequestBurst: 4_000,
  /** Sessions of browsers at once; the oldest one goes. */
  sessions: 64,
  sessionMs: 12 * 3_600_000,
  /** Tickets that wait for their upgrade. */
  tickets: 256,
  ticketMs: 30_000,
  /** One-time addresses that wait to be opened, a class of them, and how long they can be. */
  keys: 64,
  keyMs: 15 * 60_000,
  /** How long open connections may take to end when the bridge closes. */
  closingMs: 3_000,
} as const;

export type LimitName = keyof typeof SERVER_LIMITS;

export type ServerLimits = Readonly<Record<LimitName, number>>;

/**
 * The limits with some of them changed. Throws `argument-invalid` for names that are none, for what is no whole number
 * of at least 1, and for water marks in the wrong order.
 */
export function limitsWith(changes: Readonly<Record<string, unknown>>): ServerLimits {
  for (const [name, value] of Object.entries(changes)) {
    if (!Object.hasOwn(SERVER_LIMITS, name)) {
      throw new VitrineError('argument-invalid', {
        name: `limits.${name}`,
        known: Object.keys(SERVER_LIMITS),
      });
    }
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
      throw new VitrineError('argument-invalid', { name: `limits.${name}`, wants: 'a whole number from 1' });
    }
  }
  // Safe: every name and value was looked at above.
  const limits = { ...SERVER_LIMITS, ...(changes as Partial<ServerLimits>) };
  const { lowWaterBytes, highWaterBytes, outboundBytes } = limits;
  if (lowWaterBytes > highWaterBytes || highWaterBytes > outboundBytes) {
    throw new VitrineError('argument-invalid', {
      name: 'limits',
      wants: 'lowWaterBytes ≤ highWaterBytes ≤ outboundBytes',
    });
  }
  return limits;
}
