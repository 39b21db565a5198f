// What a Linux kernel would note of itself, worked out of its System.map and its memory: for kernels that were built without VMCOREINFO.
//
//   banner   "Linux version …" stands where the map says, but for whole pages: there the kernel's image is in physical memory
//   tables   those of the image map the banner's virtual address to that place: there it is in its own address space
//
// The rest are layouts that kernels have had since 5.10, when their log became a ring.

import { KernelNotes } from './kernel-notes.ts';
import { PAGE_OFFSET_32, TEXT_START_64 } from './kernel-places.ts';
import { type AddressSpace, translate } from './page-walk.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import { BANNER, type SystemMap } from './system-map.ts';
import { VirtualMemory } from './virtual-memory.ts';

const PAGE_BYTES = 4096;
const BANNER_START = Buffer.from(new TextEncoder().encode('Linux version '));
const BANNER_BYTES = 256;
/** What a guest can make us do: for each the tables are walked some thousand times. */
const MAX_BANNERS = 64;

/** By which a 64-bit kernel may have moved itself, and in which steps. */
const MOST_DISTANCE_64 = 0x4000_0000n;
const STEP_64 = 0x20_0000n;

/** What maps call the kernel's top table: 64-bit ones since 4.13, before, and 32-bit ones. */
const TABLES = ['init_top_pgt', 'init_level4_pgt', 'swapper_pg_dir'];
/** Before the name of a machine stood a count in older kernels. */
const NAME_OFFSETS = [0, 4, 8];
/** Bits of the size of a log: those that kernels can be built with. */
const FEWEST_SIZE_BITS = 12;
const MOST_SIZE_BITS = 25;

/** Where a kernel is. */
interface Placed {
  readonly release: string;
  /** From an address of the map to where it is. */
  readonly distance: bigint;
  /** Of the banner. */
  readonly physical: number;
  readonly space: AddressSpace;
}

/** Notes of each kernel of this map in memory, as far as they can be told, and how far from the map it lies. */
export async function* notesByMap(
  physical: PhysicalMemory,
  map: SystemMap,
): AsyncGenerator<{ readonly notes: KernelNotes; readonly distance: bigint }> {
  for await (const { address, release } of findBanners(physical, map)) {
    const placed = await place(physical, map, address, release);
    if (placed !== undefined)
      yield { notes: await notesOf(physical, map, placed), distance: placed.distance };
  }
}

/** Places at which the banner of a kernel of this map may be. */
async function* findBanners(
  physical: PhysicalMemory,
  map: SystemMap,
): AsyncGenerator<{ readonly address: number; readonly release: string }> {
  // A kernel moves by whole pages.
  const inPage = Number(map.get(BANNER)! % BigInt(PAGE_BYTES));
  let seen = 0;
  for await (const { address, bytes } of physical.pieces()) {
    for (let at = inPage; at < bytes.length; at += PAGE_BYTES) {
      if (bytes[at] !== BANNER_START[0]) continue;
      const text = await physical.read(address + at, BANNER_BYTES).catch(() => undefined);
      if (text === undefined || !BANNER_START.equals(text.subarray(0, BANNER_START.length))) continue;
      const [, release] = /^Linux version (\S{1,64}) /.exec(Buffer.from(text).toString('latin1')) ?? [];
      if (release === undefined) continue;
      if (++seen > MAX_BANNERS) return;
      yield { address: address + at, release };
    }
  }
}

/** Where the kernel is whose banner lies at a physical address; undefined where its tables do not say that it does. */
async function place(
  physical: PhysicalMemory,
  map: SystemMap,
  address: number,
  release: string,
): Promise<Placed | undefined> {
  const banner = map.get(BANNER)!;
  const isWide = banner >= TEXT_START_64;
  const table = TABLES.map((name) => map.get(name)).find((one) => one !== undefined);
  if (table === undefined) return undefined;
  const root = address - Number(banner - table);
  if (root < 0) return undefined;
  const spaces: AddressSpace[] = isWide
    ? [
        { paging: '4-level', root },
        { paging: '5-level', root },
      ]
    : [
        { paging: '32-bit', root, pse: true },
        { paging: 'pae', root },
      ];
  const first = isWide ? 0n : BigInt(address) + PAGE_OFFSET_32 - banner;
  const last = isWide ? MOST_DISTANCE_64 : first;
  for (const space of spaces) {
    for (let distance = first; distance <= last; distance += STEP_64) {
      const there = await translate(physical, space, banner + distance);
      if (there?.address === address) return { release, distance, physical: address, space };
    }
  }
  return undefined;
}

async function notesOf(
  physical: PhysicalMemory,
  map: SystemMap,
  { release, distance, physical: at, space }: Placed,
): Promise<KernelNotes> {
  const memory = new VirtualMemory(physical, space);
  const isWide = memory.pointerBytes === 8;
  const lines = [`OSRELEASE=${release}`];
  const symbol = (name: string, as = name): bigint | undefined => {
    const address = map.get(name);
    if (address === undefined) return undefined;
    lines.push(`SYMBOL(${as})=${(address + distance).toString(16)}`);
    return address + distance;
  };
  const count = (kind: string, facts: Readonly<Record<string, number>>): void => {
    for (const [name, value] of Object.entries(facts)) lines.push(`${kind}(${name})=${value}`);
  };
  symbol(TABLES.find((name) => map.get(name) !== undefined)!, 'swapper_pg_dir');
  symbol('_stext');
  if (isWide) {
    lines.push(`NUMBER(phys_base)=${BigInt(at) - (map.get(BANNER)! + distance - TEXT_START_64)}`);
    lines.push(`NUMBER(pgtable_l5_enabled)=${space.paging === '5-level' ? 1 : 0}`);
  } else if (space.paging === 'pae') lines.push('CONFIG_X86_PAE=y');
  const names = symbol('init_uts_ns');
  if (names !== undefined) {
    const offset = await nameOffset(memory, names);
    if (offset !== undefined) count('OFFSET', { 'uts_namespace.name': offset });
  }
  const log = symbol('prb');
  if (log !== undefined) {
    const layout = await logLayout(memory, log);
    count('OFFSET', layout.offsets);
    count('SIZE', layout.sizes);
  }
  return new KernelNotes(lines.join('\n'));
}

/** Where in a name space the names are: the first is the system's. */
async function nameOffset(memory: VirtualMemory, at: bigint): Promise<number | undefined> {
  const bytes = Buffer.from(await memory.read(at, 16).catch(() => new Uint8Array(16)));
  return NAME_OFFSETS.find((offset) => bytes.toString('latin1', offset, offset + 6) === 'Linux\0');
}

interface LogLayout {
  readonly offsets: Readonly<Record<string, number>>;
  readonly sizes: Readonly<Record<string, number>>;
}

/** Of the log's ring, as compilers lay it out. Since 6.9 the ring of descriptors is a word longer. */
async function logLayout(memory: VirtualMemory, symbol: bigint): Promise<LogLayout> {
  const word = memory.pointerBytes;
  const looksLikeTexts = async (offset: number): Promise<boolean> => {
    const ring = await memory.long(symbol);
    const bits = await memory.u32(ring + BigInt(offset));
    return bits >= FEWEST_SIZE_BITS && bits <= MOST_SIZE_BITS;
  };
  const isLonger = await looksLikeTexts(6 * word).catch(() => false);
  return {
    offsets: {
      'printk_ringbuffer.desc_ring': 0,
      'printk_ringbuffer.text_data_ring': (isLonger ? 6 : 5) * word,
      'prb_desc_ring.count_bits': 0,
      'prb_desc_ring.descs': word,
      'prb_desc_ring.infos': 2 * word,
      'prb_desc_ring.head_id': 3 * word,
      'prb_desc_ring.tail_id': 4 * word,
      'prb_data_ring.size_bits': 0,
      'prb_data_ring.data': word,
      'prb_desc.state_var': 0,
      'prb_desc.text_blk_lpos': word,
      'prb_data_blk_lpos.begin': 0,
      'prb_data_blk_lpos.next': word,
      'printk_info.seq': 0,
      'printk_info.ts_nsec': 8,
      'printk_info.text_len': 16,
    },
    sizes: { prb_desc: 3 * word, printk_info: 88 },
  };
}
