// A Linux kernel found in a guest's memory, with nothing but that memory: its notes (VMCOREINFO) say where its page tables,
// its symbols and its log are. A guest has no part in it and does not stop for it.

import { VitrineError } from '../../base/error.ts';
import { readSymbols, type Symbols } from './kallsyms.ts';
import { findKernelNotes, type KernelNotes } from './kernel-notes.ts';
import { PAGE_OFFSET_32, TEXT_START_64 } from './kernel-places.ts';
import { notesByMap } from './map-notes.ts';
import type { AddressSpace } from './page-walk.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import { BANNER, type SystemMap } from './system-map.ts';
import { textIn, VirtualMemory } from './virtual-memory.ts';

const UTS_FIELD_BYTES = 65;

/** What `uname -a` prints. */
export interface KernelName {
  readonly system: string;
  readonly host: string;
  readonly release: string;
  readonly version: string;
  readonly architecture: string;
}

export class LinuxKernel {
  readonly notes: KernelNotes;
  readonly memory: VirtualMemory;
  #symbols: Promise<Symbols> | undefined;

  private constructor(notes: KernelNotes, memory: VirtualMemory) {
    this.notes = notes;
    this.memory = memory;
  }

  /**
   * The kernel in a guest's memory: by its notes, or else by its System.map, whose symbols it then has in any case.
   *
   * Throws `not-found` where none is recognized, `argument-invalid` for a map of another kernel.
   */
  static async find(physical: PhysicalMemory, map?: SystemMap): Promise<LinuxKernel> {
    for await (const notes of findKernelNotes(physical)) {
      const kernel = await LinuxKernel.#of(physical, notes);
      if (kernel === undefined) continue;
      if (map !== undefined) await kernel.#take(map);
      return kernel;
    }
    if (map === undefined) {
      const hint = 'One without VMCOREINFO is found by its System.map: --system-map FILE.';
      throw new VitrineError('not-found', { kernel: 'Linux, with VMCOREINFO', hint });
    }
    for await (const { notes, distance } of notesByMap(physical, map)) {
      const kernel = await LinuxKernel.#of(physical, notes);
      if (kernel === undefined) continue;
      kernel.#symbols = Promise.resolve(map.movedBy(distance));
      return kernel;
    }
    throw new VitrineError('not-found', { kernel: 'Linux, of that System.map' });
  }

  /** The kernel that these are notes of; undefined where it is not there. */
  static async #of(physical: PhysicalMemory, notes: KernelNotes): Promise<LinuxKernel | undefined> {
    const space = addressSpaceIn(notes);
    if (space === undefined) return undefined;
    const kernel = new LinuxKernel(notes, new VirtualMemory(physical, space));
    return (await kernel.#isIt()) ? kernel : undefined;
  }

  /** Has the map's symbols in place of its own. Throws `argument-invalid` where it is another kernel's. */
  async #take(map: SystemMap): Promise<void> {
    const { release } = this.notes;
    const start = this.notes.symbol('_stext') ?? 0n;
    const distance = start - (map.get('_stext') ?? start);
    const wanted = `Linux version ${release} `;
    const banner = await this.memory.text(map.get(BANNER)! + distance, wanted.length).catch(() => '');
    if (banner !== wanted) {
      throw new VitrineError('argument-invalid', {
        name: 'System.map',
        reason: 'it is of another kernel',
        release,
      });
    }
    this.#symbols = Promise.resolve(map.movedBy(distance));
  }

  async name(): Promise<KernelName> {
    const at = this.#nameAt();
    const fields = await this.memory.read(at, 6 * UTS_FIELD_BYTES);
    const field = (index: number): string =>
      textIn(fields.subarray(index * UTS_FIELD_BYTES, (index + 1) * UTS_FIELD_BYTES));
    return {
      system: field(0),
      host: field(1),
      release: field(2),
      version: field(3),
      architecture: field(4),
    };
  }

  /** Its System.map's where one was given, else its own. Throws `unsupported` where the notes do not say where these are: before 6.0. */
  symbols(): Promise<Symbols> {
    this.#symbols ??= readSymbols(this);
    return this.#symbols;
  }

  /** A symbol of the notes, else of the kernel. Throws `not-found`. */
  async address(name: string): Promise<bigint> {
    const address = this.notes.symbol(name) ?? (await this.symbols()).get(name);
    if (address === undefined) throw new VitrineError('not-found', { symbol: name });
    return address;
  }

  /** The virtual address at which the kernel's image has a physical one. */
  imageAddress(physical: number): bigint {
    const physBase = this.notes.number('phys_base');
    return BigInt(physical) + (physBase === undefined ? PAGE_OFFSET_32 : TEXT_START_64 - physBase);
  }

  /** What its notes say of itself has to stand where they say it is. */
  async #isIt(): Promise<boolean> {
    try {
      return (await this.name()).release === this.notes.release;
    } catch (error) {
      if (error instanceof VitrineError) return false;
      throw error;
    }
  }

  #nameAt(): bigint {
    const at = this.notes.symbol('init_uts_ns');
    const offset = this.notes.offset('uts_namespace.name');
    if (at === undefined || offset === undefined)
      throw new VitrineError('not-found', { symbol: 'init_uts_ns' });
    return at + BigInt(offset);
  }
}

/** The kernel's own address space, by its top table; undefined where the notes do not say. */
function addressSpaceIn(notes: KernelNotes): AddressSpace | undefined {
  const table = notes.symbol('swapper_pg_dir');
  if (table === undefined) return undefined;
  const physBase = notes.number('phys_base');
  if (physBase !== undefined) {
    const paging = notes.number('pgtable_l5_enabled') === 1n ? '5-level' : '4-level';
    const root = table - TEXT_START_64 + physBase;
    return root < 0n || root > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : { paging, root: Number(root) };
  }
  if (table < PAGE_OFFSET_32 || table >> 32n !== 0n) return undefined;
  const root = Number(table - PAGE_OFFSET_32);
  return notes.has('CONFIG_X86_PAE') ? { paging: 'pae', root } : { paging: '32-bit', root, pse: true };
}
