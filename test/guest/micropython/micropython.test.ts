// The real MicroPython at its prompt: the suite that all guests pass, and what a Python session must keep.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../../src/base/limits.ts';
import type { Guest } from '../../../src/guest/guest.ts';
import { type MicroPythonGuest, openMicroPython } from '../../../src/guest/micropython/micropython.ts';
import { loadKernels } from '../../../src/kernel/load.ts';
import { guestConformance } from '../../../src/testing/guest-conformance.ts';
import { putInstant, takeInstant } from '../../../src/testing/guest-suites/instant.ts';
import { whilePaused } from '../../../src/testing/guest-suites/subject.ts';
import { openScanTracker } from '../../../src/tracking/scan-tracker.ts';
import { loadMicroPython, wasmUrl } from '../../support/micropython-loader.ts';

const opened: Guest[] = [];
afterEach(async () => {
  for (const guest of opened.splice(0)) await guest.close();
});

interface Session {
  readonly guest: MicroPythonGuest;
  /** Types a line and gives what was printed, without the echo of the line. */
  ask(line: string): Promise<string>;
  /** Types text and gives all that was printed. */
  type(text: string): Promise<string>;
}

async function openSession(maxMemoryBytes = 32 * MIB): Promise<Session> {
  const guest = await openMicroPython({ loadMicroPython, wasmUrl, maxMemoryBytes });
  opened.push(guest);
  let printed = '';
  guest.onOutput((bytes) => (printed += new TextDecoder('latin1').decode(bytes)));
  const type = async (text: string): Promise<string> => {
    printed = '';
    await guest.type(text);
    return printed;
  };
  const ask = async (line: string): Promise<string> => {
    const all = await type(`${line}\r`);
    return all
      .slice(all.indexOf('\r\n') + 2)
      .replace(/\r?\n>>> $/, '')
      .replace(/^>>> $/, '');
  };
  return { guest, ask, type };
}

const take = (guest: Guest) => whilePaused(guest, () => takeInstant(guest));

guestConformance(
  'MicroPython',
  async () => {
    const { guest, type } = await openSession();
    await guest.paste(
      'n = 1\nlog = []\ndef step():\n    global n\n    n = n * 7 % 10007\n    log.append(str(n))\n    return n\n',
    );
    return { guest, run: () => type('[step() for _ in range(20)], len(log)\r') };
  },
  { describe, expect, it },
);

describe('a MicroPython session', () => {
  it('brings back variables, functions and objects', async () => {
    const { guest, ask } = await openSession();
    await ask('x = 6 * 7');
    await guest.paste(
      'class Dog:\n    def __init__(self, name):\n        self.name = name\n    def bark(self):\n        return self.name + "!"\nrex = Dog("Rex")\n',
    );
    const saved = await take(guest);
    await ask('x = 0; rex.name = "Fido"; del Dog');
    expect(await ask('x, rex.bark()')).toBe("(0, 'Fido!')");
    await whilePaused(guest, () => putInstant(guest, saved));
    expect(await ask('x, rex.bark(), Dog("Ada").bark()')).toBe("(42, 'Rex!', 'Ada!')");
  });

  it('brings back the line that was half typed, and the history', async () => {
    const { guest, ask, type } = await openSession();
    await ask('first = 11');
    await type('2 + 3 *');
    const saved = await take(guest);
    await type(' 100\r');
    await ask('second = 22');
    await whilePaused(guest, () => putInstant(guest, saved));
    expect(await type(' 4\r')).toContain('\n14\n>>> ');
    // The line above it in the history is the one from before the save.
    await type('\x1b[A\x1b[A');
    expect(await type('\r')).not.toContain('second');
    expect(await ask('first')).toBe('11');
  });

  it('forks: two sessions go on from one state and know nothing of each other', async () => {
    const first = await openSession();
    await first.ask('shared = [1, 2]');
    const saved = await take(first.guest);
    const second = await openSession();
    await whilePaused(second.guest, () => putInstant(second.guest, saved));
    await first.ask('shared.append(3)');
    await second.ask('shared.append("other")');
    expect(await first.ask('shared')).toBe('[1, 2, 3]');
    expect(await second.ask('shared')).toBe("[1, 2, 'other']");
    // JavaScript objects go through globals of the loader, of which each session has its own.
    await first.ask('import js; a = js.Array(4)');
    await second.ask('import js; b = js.Array(9)');
    expect([await first.ask('a.length'), await second.ask('b.length')]).toEqual(['4', '9']);
  });

  it('collects garbage soundly after a restore', async () => {
    const { guest, ask } = await openSession();
    await guest.paste('import gc\nkeep = {i: "value %d" % i for i in range(2000)}\n');
    const saved = await take(guest);
    await ask('keep = None; gc.collect(); junk = [bytearray(1000) for _ in range(500)]');
    await whilePaused(guest, () => putInstant(guest, saved));
    await ask('gc.collect(); more = [bytearray(1000) for _ in range(300)]; gc.collect()');
    expect(await ask('all(keep[i] == "value %d" % i for i in range(2000))')).toBe('True');
  });

  it('grows its memory when restored into a smaller instance', async () => {
    const first = await openSession();
    await first.ask('big = bytearray(b"x" * 9000000)');
    await first.ask('big[8999999] = 7');
    const saved = await take(first.guest);
    const second = await openSession();
    await whilePaused(second.guest, () => putInstant(second.guest, saved));
    expect(await second.ask('len(big), big[0], big[8999999]')).toBe('(9000000, 120, 7)');
    expect(await second.ask('len(bytes(200000)), [i * i for i in range(5)]')).toBe(
      '(200000, [0, 1, 4, 9, 16])',
    );
  });

  it('says MemoryError when it comes to the end of its region, and goes on', async () => {
    // Emscripten tells the console of every growth that failed.
    const complaints = vi.spyOn(console, 'error').mockImplementation(() => {});
    const { ask } = await openSession();
    expect(await ask('huge = bytearray(40000000)')).toContain('MemoryError');
    expect(await ask('1 + 1')).toBe('2');
    complaints.mockRestore();
  });

  it('brings back files', async () => {
    const { guest, ask } = await openSession();
    await guest.paste('import os\nos.mkdir("/d")\nf = open("/d/a.txt", "w")\nf.write("kept")\nf.close()\n');
    const saved = await take(guest);
    await guest.paste(
      'os.remove("/d/a.txt")\nos.rmdir("/d")\nf = open("/b.txt", "w")\nf.write("later")\nf.close()\n',
    );
    await whilePaused(guest, () => putInstant(guest, saved));
    expect(await ask('open("/d/a.txt").read(), "b.txt" in os.listdir("/")')).toBe("('kept', False)");
  });

  it('counts the JavaScript objects that Python holds, and finds them again in the same tab', async () => {
    const { guest, ask } = await openSession();
    expect(guest.hostObjects).toBe(0);
    await ask('import js; kept = js.Array(3)');
    expect(guest.hostObjects).toBeGreaterThan(0);
    const saved = await take(guest);
    await ask('kept = js.Array(8)');
    await whilePaused(guest, () => putInstant(guest, saved));
    expect(await ask('kept.length')).toBe('3');
    // Another tab has another number in front, and finds a placeholder.
    const host = saved.devices.findIndex((record) => record.name === 'host');
    const bytes = saved.devices[host]!.bytes.slice();
    bytes[4]! ^= 0xff;
    const foreign = { ...saved, devices: saved.devices.with(host, { ...saved.devices[host]!, bytes }) };
    await whilePaused(guest, () => putInstant(guest, foreign));
    expect(await ask('kept.lostInSnapshot')).toBe('True');
  });

  it('leaves no trace in the global object between two calls', async () => {
    const before = Object.keys(globalThis);
    const { ask } = await openSession();
    await ask('1');
    expect(
      Object.keys(globalThis).filter((name) => !before.includes(name) && name !== 'loadMicroPython'),
    ).toEqual([]);
  });

  it('waits with typing while it is paused', async () => {
    const { guest, ask } = await openSession();
    await guest.pause();
    const typing = ask('5 + 5');
    await guest.resume();
    expect(await typing).toBe('10');
  });

  it('interrupts and starts again at the end of a session', async () => {
    const { ask, type } = await openSession();
    await type('abandoned');
    expect(await type('\x03')).toContain('>>> ');
    await type('\x04');
    expect(await ask('3 * 3')).toBe('9');
  });
});

describe('a Python session that asks by itself', () => {
  const RING = "def ring(word):\n    with open('/dev/vitrine', 'w') as bell:\n        bell.write(word)\n";
  const HEARD = "open('/dev/vitrine').read()";

  it('is saved at the end of its statement, and comes back there, in another session too', async () => {
    const { guest, ask } = await openSession();
    const tracker = await openScanTracker(guest, { openKernels: () => loadKernels() });
    await guest.paste(RING);
    expect(await ask(HEARD)).toBe("'nobody'");
    await tracker.doorbell.serve({ serve: 'checkpoint', maxPerSecond: 1e6 });
    await ask('x = 1');
    // The statement that rings is part of what is saved; the lines behind it are not.
    await guest.type("ring('save'); x += 10\rx += 100\r");
    expect(await ask(`x, ${HEARD}`)).toBe("(111, 'saved')");
    await guest.type("ring('reset'); x = 0\r");
    expect(await ask(`x, ${HEARD}`)).toBe("(11, 'restored')");
    await ask('x += 100');
    const saved = await take(guest);
    await tracker.doorbell.stop();
    await ask("ring('save')");
    expect(await ask(HEARD)).toBe("'nobody'");

    const other = await openSession();
    await whilePaused(other.guest, () => putInstant(other.guest, saved));
    expect(await other.ask(`x, ${HEARD}`)).toBe("(111, 'restored')");
  });

  it('is refused what it may not have, and may ring as often as it likes', async () => {
    const { guest, ask } = await openSession();
    await guest.paste(RING);
    guest.doorbell!.serve(() => 'first', { maxPerSecond: 1e-6 });
    await ask("ring('save')");
    await ask("for i in range(500): ring('save')\r");
    expect(await ask(HEARD)).toBe("'refused'");
    expect(guest.doorbell!.counts.saves).toBe(1);
  });
});
