// Replay: a guest that does the same twice from the same state. A port beside `Guest`: whoever has it can be verified by
// running it on from a snapshot two times, and can be taken back to any earlier moment of a recording.
//
// A step is the guest's own unit of progress, one that never stands still: an instruction, a cycle, a tick of its clock.

/** How far a guest came since its time was begun. */
export interface ReplayPosition {
  readonly steps: number;
  /** Rests between which nothing from outside enters: the finest places that a run can end at. */
  readonly slices: number;
}

export interface Replay {
  /**
   * Begins the guest's time and randomness anew, over the state that it holds: from here it does the same each time. Only
   * while paused.
   */
  begin(): void | Promise<void>;
  /**
   * Runs the paused guest on by itself for `steps` steps, and to the end of the slice that they end in, as fast as it can
   * and without input; it is paused still. Ends early when `signal` is aborted.
   *
   * Throws `wrong-state` unless paused, `guest-failed`, `aborted`.
   */
  run(steps: number, signal?: AbortSignal): Promise<ReplayPosition>;
}
