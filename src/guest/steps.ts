// A guest that a person takes back and forth over what it did, a step at a time: a port beside `Guest`, for teaching and for
// looking for the instruction at which something happened.
//
//   live ── begin ──▶ noting ── hold ──▶ held at the end ── go ──▶ held anywhere ── release ──▶ live, on from there
//
// A step is what `replay.ts` calls one.

/** Where a held guest stands. */
export interface StepPlace {
  /** Steps since `begin`. */
  readonly steps: number;
  /** Where `hold` stopped it: there is nothing later to go to. */
  readonly endSteps: number;
  /** The guest's own time since `begin`. */
  readonly elapsedMs: number;
  /** What its processor holds, in the order to be shown. */
  readonly registers: readonly { readonly name: string; readonly value: number }[];
  /** Bytes from the next instruction on; empty where they cannot be told. */
  readonly code: Uint8Array;
}

export interface Steps {
  /** From here on all that enters the guest is noted. Throws `wrong-state` unless it is live. */
  begin(): Promise<void>;
  /**
   * Stops the guest here. Throws `wrong-state` unless it is noting, and with the reason when it could not note all (it was
   * restored, the notes are full): the guest is live then.
   */
  hold(): Promise<StepPlace>;
  /**
   * Brings the held guest to `steps`, or the nearest place that it can stand at behind it; one that would go back and not get
   * there goes to the place before. At the end all that it holds is compared with what it was.
   *
   * Throws `wrong-state` unless it is held, `busy` while it goes, `replay-diverged`, `aborted`; it is held after each.
   */
  go(steps: number, signal?: AbortSignal): Promise<StepPlace>;
  /** Lets it run on from where it stands, or ends the noting; it is live. Nothing happens to a live one. */
  release(): Promise<void>;
}
