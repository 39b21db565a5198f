// What the bridge tells its operator: events with fields, a JSON line each, or a short line on a terminal. Texts from
// visitors are values of fields; on a terminal too they pass through JSON, so that none can move its cursor.

export type EventLevel = 'info' | 'warn' | 'error';

export type EventFields = Readonly<Record<string, string | number | boolean | null>>;

export type EventLog = (level: EventLevel, event: string, fields?: EventFields) => void;

/** Writes events to `write`, one line each. `wallMs` is the time, milliseconds since 1970. */
export function openEventLog(options: {
  readonly write: (line: string) => void;
  readonly wallMs: () => number;
  readonly format: 'json' | 'terminal';
}): EventLog {
  const { write, wallMs, format } = options;
  return (level, event, fields = {}) => {
    const time = new Date(wallMs()).toISOString();
    if (format === 'json') {
      write(`${JSON.stringify({ time, level, event, ...fields })}\n`);
      return;
    }
    const texts = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    write(`${[time.slice(11, 19), level === 'info' ? ' ' : level, event, ...texts].join(' ')}\n`);
  };
}

/** The same, but each kind of event at most once a second, with how many were left out since. */
export function atMostOnceASecond(log: EventLog, nowMs: () => number): EventLog {
  const lastMs = new Map<string, number>();
  const leftOut = new Map<string, number>();
  return (level, event, fields = {}) => {
    const key = `${event} ${fields.code ?? ''}`;
    const last = lastMs.get(key);
    if (last !== undefined && nowMs() - last < 1_000) {
      leftOut.set(key, (leftOut.get(key) ?? 0) + 1);
      return;
    }
    lastMs.set(key, nowMs());
    const count = leftOut.get(key) ?? 0;
    leftOut.delete(key);
    log(level, event, count === 0 ? fields : { ...fields, leftOut: count });
  };
}
