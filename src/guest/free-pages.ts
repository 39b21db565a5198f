// What a guest says of its free pages: a hint, from a program that may be wrong, late, silent or hostile. A tracker believes
// it only for pages that nobody wrote since it was asked; who lies loses the contents of its own memory and nothing else.
//
//   ask (guest paused) ─▶ guest runs: tell, tell … ─▶ done        end: nothing more is told, whatever the guest does

import type { Span } from '../memory/span.ts';

/** Hears of a free span. It may lie anywhere and be of any size: the listener checks it. Called in the guest's own time. */
export type FreeSpanListener = (span: Span) => void;

/** One question to a guest, under way. */
export interface FreePageRequest {
  /** Resolves when the guest has told all it wants to; perhaps never. */
  readonly done: Promise<void>;
  /** Nothing more is told. May be called again. */
  end(): void;
}
