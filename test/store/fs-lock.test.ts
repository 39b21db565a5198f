// The lock of the file store under every order of operations that chance finds: processes take it, die with it and
// follow each other, one file operation at a time, in an order drawn from the seed. No two ever hold it at once, and
// the living get it in the end.

import { describe, expect, it } from 'vitest';
import type { FileSystem } from '../../src/store/fs-files.ts';
import { DirectoryLock } from '../../src/store/fs-lock.ts';
import { Random } from '../../src/testing/random.ts';
import { CrashDisk } from '../support/crash-files.ts';
import { seedOfRun } from '../support/seed.ts';

const DIRECTORY = '/data';
const PROCESSES = 4;
const HOLDS = 3;

/** Lets the steps of several processes through one at a time, in random order. */
class Turns {
  readonly #random: Random;
  #waiting: (() => void)[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** Resolves when it is this caller's turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Gives turns until nobody waits. */
  async run(): Promise<void> {
    for (;;) {
      // What the last turn set free runs until it waits again: all of it is promises that are resolved already.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#waiting.length === 0) return;
      this.#waiting.splice(this.#random.below(this.#waiting.length), 1)[0]!();
    }
  }

  /** The same file operations, each in a turn of its own. */
  files(files: FileSystem): FileSystem {
    const { readlink, symlink, unlink } = files;
    return {
      ...files,
      readlink: (path) => this.turn().then(() => readlink(path)),
      symlink: (text, path) => this.turn().then(() => symlink(text, path)),
      unlink: (path) => this.turn().then(() => unlink(path)),
    };
  }
}

async function runOnce(random: Random): Promise<string> {
  const disk = new CrashDisk();
  const { files } = disk.files(random);
  await files.makeDirectory(DIRECTORY);
  const turns = new Turns(random);
  const gone = new Set<string>();
  let holders = 0;
  let most = 0;

  /** Takes the lock some times; may die with it, and then another process comes in its place. */
  const live = async (process: number, life: number): Promise<void> => {
    let count = 0;
    const names: string[] = [];
    const processes = {
      nameSelf: () => {
        names.push(`p${process}.${life}.${count++}`);
        return names.at(-1)!;
      },
      isGone: (name: string) => gone.has(name),
    };
    const lock = new DirectoryLock(DIRECTORY, turns.files(files), processes, 1e9, () => turns.turn());
    for (let i = 0; i < HOLDS; i++) {
      let die: (how: 'died') => void = () => {};
      const death = new Promise<'died'>((resolve) => {
        die = resolve;
      });
      const held = lock.hold(async () => {
        holders++;
        most = Math.max(most, holders);
        await turns.turn();
        holders--;
        if (life === 2 || random.chance(0.5)) return;
        for (const name of names) gone.add(name);
        die('died');
        // A dead process releases nothing.
        await new Promise(() => {});
      });
      if ((await Promise.race([held, death])) === 'died') return live(process, life + 1);
    }
  };

  const lives = Promise.all(Array.from({ length: PROCESSES }, (_, process) => live(process, 0)));
  let ended = false;
  void lives.then(() => {
    ended = true;
  });
  while (!ended) await turns.run();
  const left = (await files.readDirectory(DIRECTORY)).length;
  return `${most} at once, ${left} links left`;
}

describe('fs lock', () => {
  it('is held by one at a time, whatever the order', async () => {
    const seed = seedOfRun();
    for (let round = 0; round < 100; round++) {
      const outcome = await runOnce(new Random(seed * 1000 + round));
      expect(`SEED=${seed} ${round}: ${outcome}`).toBe(`SEED=${seed} ${round}: 1 at once, 0 links left`);
    }
  });
});
