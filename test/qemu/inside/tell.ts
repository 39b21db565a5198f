// What a program inside says to the test outside: a line of JSON for each thing that it saw.

/** Inside. */
export function tell(name: string, fact: object): void {
  process.stdout.write(`seen ${JSON.stringify({ name, seconds: Math.round(process.uptime()), ...fact })}\n`);
}

/** Outside: what was told, by name. */
export function seenIn(lines: readonly string[]): Map<string, object> {
  const seen = new Map<string, object>();
  for (const line of lines) {
    const text = /^seen (\{.*\})$/.exec(line)?.[1];
    if (text === undefined) continue;
    const { name, ...fact } = JSON.parse(text) as { readonly name: string };
    seen.set(name, fact);
  }
  return seen;
}
