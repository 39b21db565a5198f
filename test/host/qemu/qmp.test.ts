// The QMP client against a scripted server: every way in which a peer can misbehave settles every call with a typed error.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  connectQmp,
  type Deadline,
  isRefusal,
  MAX_LINE_BYTES,
  type Qmp,
} from '../../../src/host/qemu/qmp.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": ["oob"]}}\r\n';

interface Command {
  readonly execute: string;
  readonly id: number;
  readonly arguments?: Record<string, unknown>;
}

/** A peer that does what a test says with each command. */
class ScriptedQemu {
  readonly path: string;
  readonly commands: Command[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  answer: (command: Command, socket: Socket) => void = ({ id }, socket) => send(socket, { return: {}, id });
  greeting: string | null = GREETING;

  constructor(path: string) {
    this.path = path;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      if (this.greeting !== null) socket.write(this.greeting);
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
          const command = JSON.parse(text.slice(0, end)) as Command;
          text = text.slice(end + 1);
          this.commands.push(command);
          if (command.execute === 'qmp_capabilities') send(socket, { return: {}, id: command.id });
          else this.answer(command, socket);
        }
      });
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.path, resolve));
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

function send(socket: Socket, message: unknown): void {
  socket.write(`${JSON.stringify(message)}\r\n`);
}

let directory: string;
let peer: ScriptedQemu;
const clients: Qmp[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vitrine-qmp-'));
  peer = new ScriptedQemu(join(directory, 'qmp'));
  await peer.listen();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await peer.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(deadline?: Deadline): Promise<Qmp> {
  const qmp = await connectQmp(peer.path, deadline === undefined ? {} : { deadline });
  clients.push(qmp);
  return qmp;
}

/** Deadlines that expire when the test says so. */
function handDeadlines(): {
  readonly deadline: Deadline;
  readonly expire: () => void;
  readonly running: () => number;
} {
  const expiries = new Set<() => void>();
  return {
    deadline: (_, expired) => {
      expiries.add(expired);
      return () => expiries.delete(expired);
    },
    expire: () => {
      for (const expired of [...expiries]) expired();
    },
    running: () => expiries.size,
  };
}

describe('a QMP connection', () => {
  it('greets, negotiates and knows the version', async () => {
    const qmp = await open();
    expect(qmp.version).toEqual({ major: 7, minor: 2, micro: 22 });
    expect(peer.commands.map(({ execute }) => execute)).toEqual(['qmp_capabilities']);
  });

  it('gives each call its own answer, whatever the order', async () => {
    const held: [Command, Socket][] = [];
    peer.answer = (command, socket) => {
      held.push([command, socket]);
      if (held.length < 3) return;
      for (const [{ id, execute }, to] of held.reverse()) send(to, { return: { status: execute }, id });
    };
    const qmp = await open();
    const answers = await Promise.all([
      qmp.execute('query-status'),
      qmp.execute('stop'),
      qmp.execute('cont'),
    ]);
    expect(answers).toEqual([{ status: 'query-status' }, { status: 'stop' }, { status: 'cont' }]);
  });

  it('quotes strings as JSON does and in no other way', async () => {
    const qmp = await open();
    const tag = `a"b\\c'd\n{"execute":"quit"}\u2028é`;
    await qmp.execute('blockdev-del', { 'node-name': tag });
    expect(peer.commands.at(-1)).toMatchObject({ execute: 'blockdev-del', arguments: { 'node-name': tag } });
    expect(peer.commands).toHaveLength(2);
  });

  it('takes lines in pieces of one byte, and several lines in one piece', async () => {
    peer.answer = ({ id }, socket) => {
      const bytes = Buffer.from(
        `{"event":"STOP","data":{"é":1}}\r\n{"return":{"status":"pausé"},"id":${id}}\r\n`,
      );
      for (const byte of bytes) socket.write(Uint8Array.of(byte));
      socket.write('{"event":"A"}\n\n{"event":"B"}\n');
    };
    const qmp = await open();
    const events: string[] = [];
    qmp.onEvent(({ event }) => events.push(event));
    const last = qmp.waitFor(({ event }) => event === 'B');
    expect(await qmp.execute('query-status')).toEqual({ status: 'pausé' });
    await last.event;
    expect(events).toEqual(['STOP', 'A', 'B']);
  });

  it('passes over answers that nobody waits for', async () => {
    peer.answer = ({ id }, socket) => {
      send(socket, { return: {}, id: 4711 });
      send(socket, { return: {}, id: 'other' });
      send(socket, { return: { status: 'paused' }, id });
      send(socket, { return: { status: 'twice' }, id });
    };
    const qmp = await open();
    expect(await qmp.execute('query-status')).toEqual({ status: 'paused' });
    expect(qmp.isOpen).toBe(true);
  });

  it('tells what QEMU refuses in its own words, and stays open', async () => {
    peer.answer = ({ id }, socket) =>
      send(socket, { error: { class: 'GenericError', desc: 'No such node' }, id });
    const qmp = await open();
    const error = await qmp.execute('stop').catch((reason: unknown) => reason);
    expect(isRefusal(error)).toBe(true);
    expect(error).toMatchObject({ code: 'guest-failed', data: { command: 'stop', said: 'No such node' } });
    expect(qmp.isOpen).toBe(true);
  });
});

describe('jobs', () => {
  const load = { tag: 's', vmstate: 'v', devices: ['v'] };

  it('end also when their event comes before the answer, and are dismissed', async () => {
    peer.answer = ({ execute, id, arguments: args }, socket) => {
      if (execute === 'snapshot-load') {
        const job = args?.['job-id'];
        send(socket, { event: 'JOB_STATUS_CHANGE', data: { id: 'other', status: 'concluded' } });
        send(socket, { event: 'JOB_STATUS_CHANGE', data: { id: job, status: 'running' } });
        send(socket, { event: 'JOB_STATUS_CHANGE', data: { id: job, status: 'concluded' } });
      }
      send(socket, { return: execute === 'query-jobs' ? [] : {}, id });
    };
    const qmp = await open();
    await qmp.runJob('snapshot-load', load);
    await expect.poll(() => peer.commands.at(-1)!.execute).toBe('job-dismiss');
    const dismissed = peer.commands.at(-1)!;
    // Nothing is to be asked of one that went well.
    expect(peer.commands.map(({ execute }) => execute)).not.toContain('query-jobs');
    expect(dismissed.arguments?.id).toBe(
      peer.commands.find((one) => one.execute === 'snapshot-load')!.arguments!['job-id'],
    );
  });

  it('that fail are refusals, and are dismissed too', async () => {
    let job: unknown;
    peer.answer = ({ execute, id, arguments: args }, socket) => {
      if (execute === 'snapshot-load') job = args?.['job-id'];
      const jobs = [{ id: job, type: 'x', status: 'concluded', error: 'Error -22 while loading VM state' }];
      send(socket, { return: execute === 'query-jobs' ? jobs : {}, id });
      if (execute === 'snapshot-load') {
        send(socket, { event: 'JOB_STATUS_CHANGE', data: { id: job, status: 'aborting' } });
        send(socket, { event: 'JOB_STATUS_CHANGE', data: { id: job, status: 'concluded' } });
      }
    };
    const qmp = await open();
    const error = await qmp.runJob('snapshot-load', load).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'guest-failed', data: { said: 'Error -22 while loading VM state' } });
    expect(peer.commands.at(-1)?.execute).toBe('job-dismiss');
  });

  it('that cannot start leave no clock running', async () => {
    const clock = handDeadlines();
    peer.answer = ({ id }, socket) => send(socket, { error: { class: 'X', desc: 'no' }, id });
    const qmp = await open(clock.deadline);
    expect(await codeOf(() => qmp.runJob('snapshot-load', load))).toBe('guest-failed');
    expect(clock.running()).toBe(0);
  });
});

describe('a QMP peer that is gone or broken', () => {
  const broken: [string, (socket: Socket) => void][] = [
    ['closes', (socket) => socket.end()],
    ['is cut off', (socket) => socket.destroy()],
    ['sends no JSON', (socket) => socket.write('hello\n')],
    ['sends JSON that is no message', (socket) => socket.write('17\n')],
    [
      'understood nothing',
      (socket) => socket.write('{"error":{"class":"GenericError","desc":"JSON parse error"}}\n'),
    ],
    ['sends a line without end', (socket) => socket.write(Buffer.alloc(MAX_LINE_BYTES + 1, 0x20))],
  ];
  for (const [how, misbehave] of broken) {
    it(`rejects every pending call and wait when it ${how}`, async () => {
      peer.answer = (_, socket) => {
        if (peer.commands.length === 3) misbehave(socket);
      };
      const qmp = await open();
      const calls = [
        codeOf(() => qmp.execute('stop')),
        codeOf(() => qmp.execute('query-status')),
        codeOf(() => qmp.waitFor(() => false).event),
      ];
      expect(await Promise.all(calls)).toEqual(['guest-lost', 'guest-lost', 'guest-lost']);
      expect((await qmp.closed).code).toBe('guest-lost');
      expect(await codeOf(() => qmp.execute('stop'))).toBe('guest-lost');
      expect(await codeOf(() => qmp.waitFor(() => false).event)).toBe('guest-lost');
    });
  }

  it('keeps no bytes of a line that is too long', async () => {
    peer.answer = (_, socket) => {
      for (let sent = 0; sent < 4 * MAX_LINE_BYTES; sent += 65_536) socket.write(Buffer.alloc(65_536, 0x61));
    };
    const qmp = await open();
    const error = await qmp.execute('stop').catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'guest-lost',
      data: { reason: expect.stringContaining('longer than') },
    });
  });

  it('is not waited for longer than the deadline, and not heard after it', async () => {
    const clock = handDeadlines();
    peer.answer = () => {};
    const qmp = await open(clock.deadline);
    const calls = [codeOf(() => qmp.execute('stop')), codeOf(() => qmp.waitFor(() => true).event)];
    expect(clock.running()).toBe(2);
    clock.expire();
    expect(await Promise.all(calls)).toEqual(['guest-timeout', 'guest-timeout']);
    expect(clock.running()).toBe(0);
    expect(qmp.isOpen).toBe(false);
  });

  it('tells why, where the owner of the process knows', async () => {
    peer.answer = (_, socket) => socket.destroy();
    const qmp = await connectQmp(peer.path, { explain: async () => ({ signal: 'SIGKILL' }) });
    clients.push(qmp);
    const error = await qmp.execute('stop').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'guest-lost', data: { signal: 'SIGKILL' } });
  });

  it('that greets with nothing, or with something else, is no QEMU', async () => {
    const clock = handDeadlines();
    peer.greeting = null;
    const silent = codeOf(() => connectQmp(peer.path, { deadline: clock.deadline }));
    clock.expire();
    expect(await silent).toBe('guest-timeout');
    peer.greeting = '{"QMP": {}}\n';
    expect(await codeOf(() => connectQmp(peer.path))).toBe('guest-lost');
    expect(await codeOf(() => connectQmp(`${peer.path}-not-there`))).toBe('guest-lost');
  });

  it('rejects what is pending when we close, at once', async () => {
    peer.answer = () => {};
    const qmp = await open();
    const call = codeOf(() => qmp.execute('stop'));
    qmp.close();
    qmp.close();
    expect(await call).toBe('guest-closed');
    expect((await qmp.closed).code).toBe('guest-closed');
  });
});
