// How long the page's main thread was ever held, so that a person or a test can see it: `window.vitrineStats`.
//
// Long tasks are reported by the platform from 50 ms on. Shorter ones show as gaps between ticks of a probe, which runs
// only while `measureGaps` waits, since a probe that always ran would itself cost a core.

/** A stretch in which the page could not answer. */
export interface LongTask {
  readonly startMs: number;
  readonly durationMs: number;
  readonly kind: 'task' | 'frame' | 'event';
  /** How much of it was the page's own code, where the platform says: the rest is layout, painting and other work. */
  readonly scriptMs: number | null;
}

const KINDS = { longtask: 'task', 'long-animation-frame': 'frame', event: 'event' } as const;
const MAX_KEPT = 200;

export class MainThread {
  readonly #tasks: LongTask[] = [];

  /** Begins to listen; what happened since navigation is reported too where the platform kept it. */
  observe(): void {
    const supported = PerformanceObserver.supportedEntryTypes;
    for (const [type, kind] of Object.entries(KINDS)) {
      if (!supported.includes(type)) continue;
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          if (this.#tasks.length === MAX_KEPT) this.#tasks.shift();
          const scriptMs = scriptTimeOf(entry);
          this.#tasks.push({ startMs: entry.startTime, durationMs: entry.duration, kind, scriptMs });
        }
      });
      observer.observe({ type, buffered: true, durationThreshold: 104 } as PerformanceObserverInit);
    }
  }

  /** The latest stretches, oldest first. */
  get longTasks(): readonly LongTask[] {
    return this.#tasks;
  }

  /** The longest time, in milliseconds, that a task waited for its turn during `durationMs`. */
  async measureGaps(durationMs: number): Promise<number> {
    const endMs = performance.now() + durationMs;
    const { port1, port2 } = new MessageChannel();
    return new Promise((resolve) => {
      let lastMs = performance.now();
      let worstMs = 0;
      port1.onmessage = () => {
        const nowMs = performance.now();
        worstMs = Math.max(worstMs, nowMs - lastMs);
        lastMs = nowMs;
        if (nowMs < endMs) {
          port2.postMessage(null);
          return;
        }
        port1.close();
        resolve(worstMs);
      };
      port2.postMessage(null);
    });
  }
}

/** Chromium's long animation frames name the scripts that ran in them (Chromium 123, 2024); other entries do not. */
function scriptTimeOf(entry: PerformanceEntry): number | null {
  const { scripts } = entry as PerformanceEntry & { readonly scripts?: readonly PerformanceEntry[] };
  return scripts === undefined ? null : scripts.reduce((sum, { duration }) => sum + duration, 0);
}
