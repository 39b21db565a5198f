// The commands as a person would type them at a bridge, and what Pulse's memory says by them.

import { expect } from 'vitest';
import { PULSE, PULSE_FACTS } from '../../src/guest/pulse/pulse.ts';
import { type Ran, runCommand } from '../host/cli/shell.ts';
import { randomAfter } from './pulse-machine.ts';

export interface PulseWords {
  readonly loops: number;
  readonly random: number;
}

export interface PulseShell {
  vitrine(...args: string[]): Promise<Ran>;
  /** One that has to go well; what it printed. */
  done(...args: string[]): Promise<string>;
  /** As `done`, what it printed as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of it.
  json(...args: string[]): Promise<any>;
  /** Pulse's words, of one instant at which it rested; it rests most of the time. */
  pulseOf(name: string): Promise<PulseWords>;
  untilMore(name: string, than: number): Promise<void>;
  stateOf(name: string): Promise<string>;
}

export function pulseShell(environment: () => NodeJS.ProcessEnv): PulseShell {
  const vitrine = (...args: string[]): Promise<Ran> => runCommand(args, environment());
  const done = async (...args: string[]): Promise<string> => {
    const { code, out, error } = await vitrine(...args);
    expect({ args, code }, error).toEqual({ args, code: 0 });
    return out.trim();
  };
  const json = async (...args: string[]) => JSON.parse(await done(...args, '--json'));
  const pulseOf = async (name: string): Promise<PulseWords> => {
    for (;;) {
      const { hex } = await json('peek', name, `0x${PULSE.magic.toString(16)}`, '64');
      const words = Buffer.from(hex, 'hex');
      const word = (address: number): number => words.readUInt32LE(address - PULSE.magic);
      if (word(PULSE.magic) !== PULSE_FACTS.magic) continue;
      if (word(PULSE.ticks) !== word(PULSE.worked)) continue;
      const [loops, random] = [word(PULSE.loops), word(PULSE.random)];
      expect(random, `${name} after ${loops} pages`).toBe(randomAfter(loops));
      return { loops, random };
    }
  };
  const untilMore = async (name: string, than: number): Promise<void> => {
    await expect.poll(async () => (await pulseOf(name)).loops, { timeout: 60_000 }).toBeGreaterThan(than);
  };
  return {
    vitrine,
    done,
    json,
    pulseOf,
    untilMore,
    stateOf: async (name) => (await json('status', name)).state,
  };
}
