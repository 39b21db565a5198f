// A worker that ends in the ways workers end, when it is told to.

import { serve } from '../../../src/rpc/ready.ts';

/** What it serves. */
export const FRAGILE = {
  echo: (value: number): number => value,
  /** Owes an answer for ever. */
  wait: (): Promise<never> => new Promise(() => {}),
  /** Ends without a word. */
  die(): Promise<never> {
    globalThis.close();
    return new Promise(() => {});
  },
  /** Throws where nobody catches it. */
  fail(): Promise<never> {
    queueMicrotask(() => {
      throw new Error('nobody catches this');
    });
    return new Promise(() => {});
  },
};

serve(FRAGILE);
