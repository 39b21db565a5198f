// A host machine's screen in the shape of a WebSocket: what noVNC relies on beyond its types.

import { expect, it } from 'vitest';
import { ScreenChannel } from '../../src/app/screen-channel.ts';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';

it('tells of its close after close() has returned, once', async () => {
  const machine = {
    openScreen: () => ({ write: () => {}, close: () => {}, closed: new Promise<void>(() => {}) }),
  } as unknown as RemoteGuest;
  const channel = new ScreenChannel(machine, { input: false });
  const told: string[] = [];
  channel.onclose = ({ reason }) => told.push(reason);
  channel.close();
  expect(channel.readyState).toBe('closed');
  // noVNC starts a timer after it has closed, which this stops: told too early, it ends with an error three seconds later.
  expect(told).toEqual([]);
  channel.close();
  await Promise.resolve();
  expect(told).toEqual(['closed']);
});
