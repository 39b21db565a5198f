// Snapshots verified by replay in a guest at the other end of a port.

import { afterEach, describe, expect, it } from 'vitest';
import { VitrineError } from '../../src/base/error.ts';
import type { ReplayableGuest } from '../../src/engine/verify-replay.ts';
import { FlatGuest } from '../../src/guest/flat.ts';
import { connectReplayGuest, exposeReplayGuest } from '../../src/rpc/replay-port.ts';
import { adoptFlat, openTestEngine } from '../support/engine.ts';

const PAGES = 1200;

const opened: MessagePort[] = [];

afterEach(() => {
  for (const port of opened.splice(0)) port.close();
});

function spare(): FlatGuest {
  // More than crosses at a time.
  return new FlatGuest({
    regions: [{ name: 'ram', bytes: new Uint8Array(PAGES * 4096), guestAddress: 0 }],
  });
}

async function acrossPort(guest: ReplayableGuest, lost = new Promise<VitrineError>(() => {})) {
  const { port1, port2 } = new MessageChannel();
  opened.push(port1, port2);
  exposeReplayGuest(guest, port1);
  return connectReplayGuest(port2, lost);
}

async function saved() {
  const engine = await openTestEngine();
  const { guest, machine } = await adoptFlat(engine, 'one', PAGES);
  guest.run(5000);
  return { engine, guest, id: (await machine.save()).snapshot.id };
}

/** The guest with some of its functions replaced. */
const withChanges = (guest: FlatGuest, changes: Partial<ReplayableGuest>): ReplayableGuest => ({
  machine: guest.machine,
  regions: guest.regions,
  replay: guest.replay,
  pause: () => guest.pause(),
  resume: () => guest.resume(),
  readPages: (span, into) => guest.readPages(span, into),
  writePages: (span, from) => guest.writePages(span, from),
  saveDevices: () => guest.saveDevices(),
  loadDevices: (records) => guest.loadDevices(records),
  ...changes,
});

describe('a spare guest at a port', () => {
  it('runs a snapshot on twice, and is left where the second run ended', async () => {
    const { engine, guest, id } = await saved();
    const other = spare();
    const remote = await acrossPort(other);
    expect(await engine.verifyByReplay(id, remote, { steps: 3000 })).toEqual({
      steps: 3000,
      difference: null,
    });
    guest.run(3000);
    await Promise.all([guest.pause(), other.pause()]);
    expect(Buffer.compare(other.view(0)!, guest.view(0)!)).toBe(0);
  });

  it('is found out where it keeps something to itself', async () => {
    const { engine, id } = await saved();
    const forgetful = await acrossPort(withChanges(spare(), { loadDevices: () => undefined }));
    expect((await engine.verifyByReplay(id, forgetful, { steps: 10 })).difference).toEqual({
      stage: 'restore',
      where: 'record registers at byte 4',
    });
    const plain = spare();
    let runs = 0;
    const run = async (steps: number) => {
      const position = await plain.replay.run(steps);
      if (++runs === 2) {
        const span = { region: 0, offsetBytes: 1100 * 4096, lengthBytes: 1 };
        plain.writePages(span, Uint8Array.of(0xa5));
      }
      return position;
    };
    const moody = await acrossPort(
      withChanges(plain, { replay: { begin: () => plain.replay.begin(), run } }),
    );
    expect((await engine.verifyByReplay(id, moody, { steps: 10 })).difference).toEqual({
      stage: 'run',
      where: 'region ram, page 1100, byte 4505600',
    });
  });

  it('that cannot do the same again is refused by its kind', async () => {
    const { engine, id } = await saved();
    const live = await acrossPort(withChanges(spare(), { replay: undefined }));
    await expect(engine.verifyByReplay(id, live)).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('is given up, and is missed, in the middle of a run', async () => {
    const { engine, id } = await saved();
    const guest = spare();
    const given = new AbortController();
    const slow = (signal: AbortSignal | undefined) =>
      new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(new VitrineError('aborted')), { once: true });
        given.abort();
      });
    const replay = {
      begin: () => guest.replay.begin(),
      run: (_: number, signal?: AbortSignal) => slow(signal),
    };
    const remote = await acrossPort(withChanges(guest, { replay }));
    await expect(engine.verifyByReplay(id, remote, { signal: given.signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    let lose: (reason: VitrineError) => void = () => {};
    const lost = new Promise<VitrineError>((resolve) => {
      lose = resolve;
    });
    const never = new Promise<never>(() => {});
    const run = () => {
      lose(new VitrineError('worker-lost'));
      return never;
    };
    const other = spare();
    const dying = { begin: () => other.replay.begin(), run };
    const gone = await acrossPort(withChanges(other, { replay: dying }), lost);
    await expect(engine.verifyByReplay(id, gone)).rejects.toMatchObject({ code: 'worker-lost' });
  });
});
