// Time arrives as an argument, so that tests drive it.

/** Two clocks: one that only goes on, for durations, and the calendar's, for labels. */
export interface Clock {
  /** Milliseconds from some fixed point; never goes back. */
  nowMs(): number;
  /** Milliseconds since 1970-01-01 UTC. */
  wallMs(): number;
}

/** The platform's clocks. */
export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};
