// Holds input back while the guest is paused. v86 delivers an interrupt the moment a device raises it, from whatever
// JavaScript does so: a key that arrives between two reads of a save would push a frame on the guest's stack.
//
// All input — keys, serial bytes, network packets, from this adapter and from v86's own — goes over one bus.

import type { V86Bus } from './v86-internals.ts';

export class InputGate {
  readonly #bus: V86Bus;
  readonly #send: V86Bus['send'];
  #shut = false;
  #waiting: (readonly [event: string, value: unknown])[] = [];

  constructor(bus: V86Bus) {
    this.#bus = bus;
    this.#send = bus.send;
    bus.send = (event, value) => {
      if (this.#shut) this.#waiting.push([event, value]);
      else this.#send.call(bus, event, value);
    };
  }

  shut(): void {
    this.#shut = true;
  }

  /** Delivers what came meanwhile, in its order. */
  open(): void {
    this.#shut = false;
    for (const [event, value] of this.#waiting.splice(0)) this.#send.call(this.#bus, event, value);
  }

  /** Gives the bus its own function back. */
  remove(): void {
    this.open();
    this.#bus.send = this.#send;
  }
}
