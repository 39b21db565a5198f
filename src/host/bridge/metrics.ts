// Counters and gauges as Prometheus reads them (text format 0.0.4). Names and label values are ours: nothing that a
// visitor sent becomes either.

const COUNTERS = {
  vitrine_bridge_refusals_total: 'Requests and upgrades that were not let in, by code.',
  vitrine_bridge_connections_total: 'WebSockets that were let in.',
  vitrine_bridge_disconnections_total: 'WebSockets that ended, by why.',
  vitrine_bridge_messages_total: 'Messages, by direction.',
  vitrine_bridge_bytes_total: 'Bytes of messages, by direction.',
  vitrine_bridge_throttled_total: 'Messages that waited because their sender was over its rate.',
  vitrine_bridge_verbs_total: 'Privileged verbs, by verb and result.',
  vitrine_bridge_verb_seconds_total: 'Time that privileged verbs took, by verb.',
} as const satisfies Record<string, string>;

const GAUGES = {
  vitrine_bridge_connections: 'WebSockets that are open.',
  vitrine_bridge_sessions: 'Sessions of browsers.',
  vitrine_bridge_outbound_bytes: 'Bytes that wait to be sent.',
  vitrine_bridge_resident_bytes: 'Resident memory of the process.',
  vitrine_spare_processes: 'Processes of QEMU that wait for the next lazy restore.',
  vitrine_spare_resident_bytes: 'Memory that these take, of which they share most of the program.',
  vitrine_bridge_up_seconds: 'How long the bridge has run.',
} as const satisfies Record<string, string>;

export type CounterName = keyof typeof COUNTERS;
export type GaugeName = keyof typeof GAUGES;

export class Metrics {
  readonly #counts = new Map<CounterName, Map<string, number>>();

  /** Adds to a counter. */
  add(name: CounterName, labels: Readonly<Record<string, string>> = {}, by = 1): void {
    const rows = this.#counts.get(name) ?? new Map<string, number>();
    this.#counts.set(name, rows);
    const label = labelText(labels);
    rows.set(label, (rows.get(label) ?? 0) + by);
  }

  /** What a counter has come to. */
  countOf(name: CounterName, labels: Readonly<Record<string, string>> = {}): number {
    return this.#counts.get(name)?.get(labelText(labels)) ?? 0;
  }

  /** The whole page of metrics, with gauges as they are now. */
  text(gauges: Readonly<Record<GaugeName, number>>): string {
    const lines: string[] = [];
    for (const [name, help] of Object.entries(COUNTERS)) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} counter`);
      // Safe: the keys of COUNTERS.
      const rows = this.#counts.get(name as CounterName) ?? new Map([['', 0]]);
      for (const [label, value] of rows) lines.push(`${name}${label} ${value}`);
    }
    for (const [name, help] of Object.entries(GAUGES)) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${gauges[name as GaugeName]}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const fields = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return fields.length === 0 ? '' : `{${fields.join(',')}}`;
}
