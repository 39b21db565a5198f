// The seed of a test run: SEED=123 in the environment, or a fixed one, so that a run can be had again.

/** The seed of this run. */
export function seedOfRun(): number {
  const text = process.env.SEED;
  if (text === undefined) return 1;
  const seed = Number(text);
  if (!Number.isSafeInteger(seed)) throw new Error(`SEED is not an integer: ${text}`);
  return seed;
}
