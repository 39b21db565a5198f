// A PC's serial line, keyboard and screen as a console. Made before the PC is started, so that nothing it says is lost.

import type { V86Guest } from '../../guest/v86/v86-guest.ts';
import type { GuestConsole } from '../../rpc/guest-host.ts';
import { Backlog } from './backlog.ts';

export function consoleOfV86(guest: V86Guest): GuestConsole {
  const encoder = new TextEncoder();
  // A character may come in two parts; the next bytes complete it.
  const decoder = new TextDecoder();
  const backlog = new Backlog();
  guest.onSerial((bytes) => backlog.take(decoder.decode(bytes, { stream: true })));
  return {
    write: (text) => guest.sendSerial(encoder.encode(text)),
    onOutput: (listener) => backlog.listen(listener),
    sendKeys: (scanCodes) => guest.sendKeys(scanCodes),
    onFrame: (listener) => guest.screen?.onFrame(listener) ?? (() => {}),
  };
}
