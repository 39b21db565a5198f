// The worker that draws the machines' screens, seen from the page: one for all of them, since most are not on show.

import type { Notices } from './notices.ts';
import type { PaintRequest } from './screen-painter.ts';

export class Screens {
  readonly #notices: Notices;
  #worker: Worker | null = null;

  constructor(notices: Notices) {
    this.#notices = notices;
  }

  /** Starts the worker, so that it is there before the first picture. May be called again. */
  start(): void {
    if (!('transferControlToOffscreen' in HTMLCanvasElement.prototype)) return;
    this.#worker ??= this.#startWorker();
  }

  /** Has `canvas` drawn from now on. Pictures go in at the port that is returned, and `Painted` comes out. */
  show(canvas: HTMLCanvasElement, scale: number): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.start();
    if (this.#worker === null) {
      // Without canvases for workers (Safari before 16.4) the page draws.
      void this.#notices.guard('Loading the screen', async () => {
        const { paintFrom } = await import('./screen-painter.ts');
        paintFrom(port2, canvas, scale);
      });
      return port1;
    }
    const request: PaintRequest = { canvas: canvas.transferControlToOffscreen(), port: port2, scale };
    this.#worker.postMessage(request, [request.canvas, request.port]);
    return port1;
  }

  #startWorker(): Worker {
    const worker = new Worker(new URL('../../workers/screen.ts', import.meta.url), {
      type: 'module',
      name: 'screen',
    });
    worker.addEventListener('error', (event) => {
      this.#notices.error(event.error ?? event.message, 'Screens are no longer drawn');
    });
    return worker;
  }
}
