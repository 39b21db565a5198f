// The console of a host machine, for a terminal: it goes on over lost connections and says when it is over.

import { expect, it } from 'vitest';
import { HostConsole } from '../../src/app/host-console.ts';
import { openFlatHost } from '../bridge/bridge-host.ts';
import { connectTo } from '../bridge/connect.ts';

async function openConsole() {
  const connection = await connectTo(await openFlatHost({ alpha: 4 }));
  const console = new HostConsole(connection.client, 'alpha', true);
  let shown = '';
  console.showOutput((text) => {
    shown += text;
  });
  return { connection, console, shown: () => shown };
}

it('goes on over a connection that was lost', async () => {
  const { connection, console, shown } = await openConsole();
  await expect.poll(shown).toBe('ready\n');
  console.write('before');
  await expect.poll(shown).toBe('ready\nBEFORE');
  connection.clientEnd.cut();
  // The machine says what it said last to whoever comes.
  await expect.poll(shown).toBe('ready\nBEFOREready\n');
  console.write('after ä');
  await expect.poll(shown).toContain('AFTER Ä');
  expect(console.isOver).toBe(false);
  let again = '';
  console.showOutput((text) => {
    again += text;
  });
  expect(again).toBe(shown());
});

it('has lines of the page between, which no label can make more of', async () => {
  const { console, shown } = await openConsole();
  await expect.poll(shown).toBe('ready\n');
  console.remark('at “\x1b[2J\nx”');
  expect(shown()).toBe('ready\n\r\n\x1b[36m— at “ [2J x” —\x1b[0m\r\n');
});

it('is over when it is closed, and when the bridge will not be reached any more', async () => {
  const closed = await openConsole();
  await expect.poll(closed.shown).toBe('ready\n');
  closed.console.close();
  await expect.poll(() => closed.console.isOver).toBe(true);
  const left = await openConsole();
  await expect.poll(left.shown).toBe('ready\n');
  left.connection.client.close();
  await expect.poll(() => left.console.isOver).toBe(true);
});
