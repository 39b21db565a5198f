// What resets are good for: a fuzzer that puts a whole program back after each document, thousands of times a second. The
// example that the package ships, in a worker of its own; nothing of it touches the machines of the page.

import { button, element } from './dom.ts';
import type { FuzzNews } from './fuzz-loop.ts';
import type { Notices } from './notices.ts';
import { formatCount, formatNumber } from './quantity.ts';

export class FuzzPane {
  readonly element: HTMLElement;
  readonly #notices: Notices;
  readonly #toggle = button('Start', () => this.#setRunning(this.#worker === null), { className: 'primary' });
  readonly #rate = element('b', { className: 'rate' });
  readonly #total = element('p', { className: 'hint', attributes: { role: 'status' } });
  readonly #last = element('pre', { className: 'findings', attributes: { 'aria-label': 'Findings' } });
  #worker: Worker | null = null;
  #documents = 0;
  #crashes = 0;

  constructor(notices: Notices) {
    this.#notices = notices;
    const rate = element('p', { className: 'rate-line' }, this.#rate, ' resets a second');
    this.element = element(
      'div',
      { className: 'fuzzing' },
      element(
        'p',
        { className: 'hint' },
        'A parser in WebAssembly with a planted bug. A worker hands it changed documents and puts the whole program ' +
          'back after each one. When it has found the bug it begins anew with the next seed.',
      ),
      element('div', { className: 'controls' }, this.#toggle, rate),
      this.#total,
      this.#last,
    );
    this.#rate.textContent = '0';
    this.#last.hidden = true;
  }

  #setRunning(running: boolean): void {
    this.#worker?.terminate();
    this.#worker = running ? this.#start() : null;
    this.#toggle.textContent = running ? 'Stop' : 'Start';
    this.#toggle.classList.toggle('primary', !running);
    if (!running) return;
    this.#documents = 0;
    this.#crashes = 0;
    this.#total.textContent = 'Starting …';
    this.#last.hidden = true;
  }

  #start(): Worker {
    const worker = new Worker(new URL('../../workers/fuzz.ts', import.meta.url), {
      type: 'module',
      name: 'fuzz',
    });
    worker.addEventListener('message', ({ data }: MessageEvent<FuzzNews>) => {
      // What an ended worker had sent before is not shown.
      if (worker === this.#worker) this.#show(data);
    });
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#setRunning(false);
      this.#notices.error(event.error ?? (event.message || 'its worker could not be loaded'), 'Fuzzing');
    });
    return worker;
  }

  #show({ documents, durationMs, crashes, seed, lines, crasher }: FuzzNews): void {
    this.#documents += documents;
    this.#crashes += crashes;
    this.#rate.textContent = formatNumber(Math.round((1000 * documents) / durationMs));
    this.#total.textContent = `${formatCount(this.#documents, 'document')}, the bug found ${formatCount(this.#crashes, 'time')}`;
    const end = crasher === null ? 'no bug found' : 'the bug, and what leads to it:';
    this.#last.textContent = [`seed ${seed}: ${end}`, ...lines].join('\n');
    this.#last.hidden = false;
  }
}
