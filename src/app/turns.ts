// Giving the page's thread back between two parts of a long work, so that no task of it is longer than a frame.

import { nextTask } from '../base/pacing.ts';

/** A tab that nobody sees paints nothing, and its work goes on all the same. */
const HIDDEN_MS = 100;

/** Resolves in a task of its own after the page was painted, or soon in a tab that is not painted. */
export async function nextPaint(): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, HIDDEN_MS);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
  });
  // The frame's callbacks come before its layout and painting; a message comes after.
  await nextTask();
}
