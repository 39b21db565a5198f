// Who reads a machine's state to its end where we are killed while it comes. A background snapshot that nobody reads fails, and QEMU 7.2 then
// leaves the memory that it watches as it is: the machine would hang at its next write.
//
//   QEMU ─▶ a Node of a session of its own, which listens before QEMU is told to connect
//               ├─ hands us the connection, and keeps it: nothing comes over it there while we live
//               └─ reads it for nobody once we are gone
//
// So there is no moment in which the connection is ours alone.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { VitrineError } from '../../base/error.ts';

/** Who was told to connect may take so long, where we are gone. */
const CONNECT_MS = 60_000;

/**
 * It knows that we are gone when its input ends; of the channel over which it hands us the connection Node does not say so while it is handed.
 * Before it listens nobody was told to connect.
 */
const LISTEN_THEN_READ = `
let connection, isAlone = false, isListening = false;
const server = require('node:net').createServer({ pauseOnConnect: true }, (socket) => {
  server.close();
  connection = socket.on('error', () => {}).on('close', () => process.exit());
  if (isAlone) socket.resume();
  else process.send('connection', socket, { keepOpen: true }, () => {});
});
server.listen(process.argv[1], () => {
  isListening = true;
  process.send('listening', () => {});
});
process.stdin.on('error', () => {}).on('close', () => {
  isAlone = true;
  if (connection) connection.resume();
  else setTimeout(() => process.exit(), isListening ? ${CONNECT_MS} : 0);
}).resume();`;

export class StreamHeir {
  readonly #node: ChildProcess;
  /** What comes over it is read by whoever reads it here. Rejects with `guest-failed` where the heir ended before. */
  readonly connection: Promise<Socket>;

  /** Listens at a UNIX socket's path, for one connection. Throws `guest-failed` where it cannot. */
  static async listen(path: string): Promise<StreamHeir> {
    // Options of ours, to look into our program, are none of its.
    const { NODE_OPTIONS: _, ...env } = process.env;
    const node = spawn(process.execPath, ['-e', LISTEN_THEN_READ, path], {
      stdio: ['pipe', 'ignore', 'ignore', 'ipc'],
      detached: true,
      env,
    });
    const failed = new Promise<never>((_, reject) => {
      const fail = (cause?: unknown): void =>
        reject(new VitrineError('guest-failed', { socket: path }, { cause }));
      node.once('error', fail).once('exit', () => fail());
    });
    const connection = new Promise<Socket>((resolve) => {
      node.on('message', (_, handle) => {
        if (handle instanceof Socket) resolve(handle);
      });
    });
    const heir = new StreamHeir(node, Promise.race([connection, failed]));
    await Promise.race([once(node, 'message'), failed]);
    return heir;
  }

  private constructor(node: ChildProcess, connection: Promise<Socket>) {
    this.#node = node;
    this.connection = connection;
    // Whoever waits for it hears of it.
    connection.catch(() => {});
    node.unref();
    (node.stdin as Socket | null)?.on('error', () => {}).unref();
  }

  /** What comes is nobody's any more but ours. May be called again. */
  close(): void {
    this.#node.kill('SIGKILL');
  }
}
