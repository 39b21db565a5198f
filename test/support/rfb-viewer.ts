// A VNC viewer as small as one can be: RFB 3.8 without authentication, whole pictures in raw pixels, keys.

import { concatBytes, type OwnedBytes } from '../../src/base/bytes.ts';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Pixels that are not black. */
  readonly litCount: number;
}

export class RfbViewer {
  readonly #send: (bytes: OwnedBytes) => void;
  #waiting: OwnedBytes = new Uint8Array(0);
  #wake: (() => void) | null = null;
  #end: unknown;

  constructor(send: (bytes: OwnedBytes) => void) {
    this.#send = send;
  }

  /** What the server says. */
  readonly take = (bytes: OwnedBytes): void => {
    this.#waiting = concatBytes([this.#waiting, bytes]);
    this.#wake?.();
  };

  /** Nothing more will come: whoever waits is refused. */
  end(reason: unknown): void {
    this.#end = reason;
    this.#wake?.();
  }

  async open(): Promise<void> {
    await this.#bytes(12);
    this.#send(new TextEncoder().encode('RFB 003.008\n'));
    const [count] = await this.#bytes(1);
    await this.#bytes(count!);
    this.#send(Uint8Array.of(1));
    await this.#bytes(4);
    // Not shared: the bridge is to make it so all the same.
    this.#send(Uint8Array.of(0));
    const start = await this.#bytes(24);
    await this.#bytes(viewOf(start).getUint32(20));
    this.#send(Uint8Array.of(2, 0, 0, 2, 0, 0, 0, 0, 255, 255, 255, 33));
  }

  key(keysym: number): void {
    for (const isDown of [1, 0]) this.#send(Uint8Array.of(4, isDown, 0, 0, 0, 0, keysym >> 8, keysym & 255));
  }

  /** The whole picture as it is. */
  async look(): Promise<Picture> {
    for (;;) {
      this.#send(Uint8Array.of(3, 0, 0, 0, 0, 0, 255, 255, 255, 255));
      const picture = await this.#update();
      if (picture !== undefined) return picture;
    }
  }

  /** Undefined when it told of a new size alone, which is asked for again. */
  async #update(): Promise<Picture | undefined> {
    const [type, , high, low] = await this.#bytes(4);
    if (type !== 0) throw new Error(`the viewer knows pictures alone, and not ${type}`);
    let picture: Picture | undefined;
    for (let left = high! * 256 + low!; left > 0; left--) {
      const head = viewOf(await this.#bytes(12));
      if (head.getInt32(8) === -223) continue;
      const [width, height] = [head.getUint16(4), head.getUint16(6)];
      const pixels = await this.#bytes(width * height * 4);
      let litCount = 0;
      for (let at = 0; at < pixels.length; at += 4) {
        if ((pixels[at]! | pixels[at + 1]! | pixels[at + 2]!) !== 0) litCount++;
      }
      picture = { width, height, litCount };
    }
    return picture;
  }

  async #bytes(count: number): Promise<OwnedBytes> {
    while (this.#waiting.length < count) {
      if (this.#end !== undefined) throw this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return taken;
  }
}

function viewOf(bytes: OwnedBytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
