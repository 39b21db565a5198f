// Assertions are for our own mistakes: they hold in every build, and what fails one is a bug in Vitrine or in
// the code that calls it, never bad input.

/** Throws when `condition` is false. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Marks a place that a closed union can never reach. */
export function assertUnreachable(value: never): never {
  throw new Error(`assertion failed: unexpected ${JSON.stringify(value)}`);
}
