// A kernel's System.map: what its build wrote of its symbols, a line each, as `/proc/kallsyms` has them, too. Addresses are those of
// the build; where the kernel was put elsewhere, all of them by the same distance.
//
//   ffffffff82000000 R linux_banner

import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import type { Symbols } from './kallsyms.ts';
import { PAGE_OFFSET_32 } from './kernel-places.ts';

/** Those of distributions have some six MiB. */
export const MAX_MAP_BYTES = 64 * MIB;
const MAX_SYMBOLS = 1_000_000;
const LINE = /^([0-9a-f]{8}|[0-9a-f]{16}) [a-zA-Z?] (\S+)$/;
/** Below are offsets into the memory of each processor, and numbers: the same wherever the kernel is. */
const LOWEST_ADDRESS = PAGE_OFFSET_32;

/** Without it a kernel is not recognized. */
export const BANNER = 'linux_banner';

export class SystemMap {
  readonly #symbols: Symbols;

  private constructor(symbols: Symbols) {
    this.#symbols = symbols;
  }

  /**
   * Reads a map; symbols of modules, which `/proc/kallsyms` has, are passed over. Throws `argument-invalid` where it is none, as the few
   * words that distributions leave in its place, and where a kernel hid its addresses.
   */
  static read(text: string): SystemMap {
    const symbols = new Map<string, bigint>();
    for (const line of text.split('\n')) {
      const [, address, name] = LINE.exec(line) ?? [];
      if (name === undefined || symbols.has(name)) continue;
      if (symbols.size === MAX_SYMBOLS)
        throw new VitrineError('format-limit', { record: 'System.map', MAX_SYMBOLS });
      symbols.set(name, BigInt(`0x${address}`));
    }
    if ((symbols.get(BANNER) ?? 0n) < LOWEST_ADDRESS) {
      throw new VitrineError('argument-invalid', {
        name: 'System.map',
        reason: `it has no address of ${BANNER}`,
        symbols: symbols.size,
      });
    }
    return new SystemMap(symbols);
  }

  /** As the build has it. */
  get(name: string): bigint | undefined {
    return this.#symbols.get(name);
  }

  /** As they are in a kernel that lies `distance` further up. */
  movedBy(distance: bigint): Symbols {
    const moved = ([name, address]: readonly [string, bigint]): [string, bigint] => [
      name,
      address < LOWEST_ADDRESS ? address : address + distance,
    ];
    return new Map(Array.from(this.#symbols, moved));
  }
}
