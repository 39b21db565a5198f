// The other process of `loopback-floor.ts`: it has bytes in memory and sends all of them to whoever says anything.

import { createServer } from 'node:net';
import { WebSocketServer } from 'ws';

const [lengthBytes, messageBytes] = process.argv.slice(2).map(Number);
const bytes = new Uint8Array(lengthBytes).fill(7);

const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', () => socket.write(bytes));
}).listen(0, '127.0.0.1');
const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
sockets.on('connection', (socket) =>
  socket.on('message', () => {
    for (let at = 0; at < lengthBytes; at += messageBytes) socket.send(bytes.subarray(at, at + messageBytes));
  }),
);
await Promise.all([server, sockets].map((one) => new Promise((resolve) => one.once('listening', resolve))));
process.send({ tcp: server.address().port, ws: sockets.address().port });
process.once('disconnect', () => process.exit());
