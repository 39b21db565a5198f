// The page at a bridge that serves it: the key of its address becomes a session, and a session tickets for connections.
// `src/host/bridge/README.md` has the requests.
//
// The key leaves the address at once, so that neither a bookmark nor a copied address holds it. What is kept is half of a
// session: the cookie is the other one, and this origin's storage, unlike a cookie, is not another port's to read.

import { VitrineError } from '../base/error.ts';

const PROOF_NAME = 'vitrine-bridge-proof';

/** `joined`: tickets can be had. `late`: the address was opened before or is too old. `none`: it had no key, nor a session. */
export type BridgeAdmission = 'joined' | 'late' | 'none';

export interface TicketScope {
  /** One machine alone; all of them when left out. */
  readonly machine?: string;
  /** These permissions alone; all that the session has when left out. */
  readonly permissions?: readonly string[];
}

/** Joins the bridge with the key in the address, or goes on with the session of an earlier visit. */
export async function joinBridge(): Promise<BridgeAdmission> {
  const key = /^#k=([\w-]{20,})$/.exec(location.hash)?.[1];
  if (key !== undefined) {
    history.replaceState(history.state, '', location.pathname + location.search);
    const { status, body } = await post('/session', { key });
    if (status === 200 && typeof body.proof === 'string') {
      localStorage.setItem(PROOF_NAME, body.proof);
      return 'joined';
    }
  }
  if (localStorage.getItem(PROOF_NAME) === null) return key === undefined ? 'none' : 'late';
  const { status } = await post('/ticket', {});
  if (status === 200) return 'joined';
  localStorage.removeItem(PROOF_NAME);
  return 'late';
}

/** A ticket for one connection within 30 s. Throws `permission-denied` with the bridge's code. */
export async function askTicket(scope: TicketScope = {}): Promise<string> {
  const { status, body } = await post('/ticket', scope);
  if (status === 200 && typeof body.ticket === 'string') return body.ticket;
  throw new VitrineError('permission-denied', { code: String(body.code), allowedBy: String(body.allowedBy) });
}

/** The address of the bridge's WebSocket. */
export function bridgeAddress(): string {
  const { protocol, host } = location;
  return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/bridge`;
}

async function post(
  path: string,
  value: object,
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const proof = localStorage.getItem(PROOF_NAME);
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        ...(proof === null ? {} : { 'X-Vitrine-Proof': proof }),
      },
      body: JSON.stringify(value),
    });
    // Safe: the bridge answers with an object, and each field is looked at where it is used.
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  } catch (cause) {
    throw new VitrineError('connection-lost', { path }, { cause });
  }
}
