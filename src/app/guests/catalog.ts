// The guests that the page offers, by name. How each is opened is in the file of its name, which only the guest's worker
// loads; here is what a person reads.

/** A guest on offer. */
export interface CatalogEntry {
  /** Also the name of its machine in the store, so that it is found again after a reload. */
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** Whether it has a screen and a keyboard beside its terminal. */
  readonly hasScreen: boolean;
  /** What has to be served for it beside the page: `manifest.json` in that folder. */
  readonly images?: string;
  /** Whether its snapshots can be verified by replay, in a guest of its kind that does the same again. */
  readonly canReplay?: boolean;
  /** Whether it is to be gone back and forth over by steps. */
  readonly canStep?: boolean;
  /** The entry of the same machine that is, whose snapshots go into each other. */
  readonly steps?: string;
  /** What a person types into it to have it ask to be saved, where its programs can. */
  readonly asksBy?: string;
  /** It is opened from snapshots alone. */
  readonly isHidden?: boolean;
  /** Places in its memory worth a look. */
  readonly places?: readonly { readonly title: string; readonly address: number }[];
}

const PULSE_PLACES = [
  { title: 'counters', address: 0x1000 },
  { title: 'typed line', address: 0x1080 },
  { title: 'heat of pages', address: 0x1200 },
  { title: 'sums of pages', address: 0x1400 },
  { title: 'working set', address: 0x10_0000 },
  { title: 'screen text', address: 0xb_8000 },
];

export const CATALOG = [
  {
    name: 'pulse',
    title: 'Pulse',
    about:
      'A small x86 program in a PC of 16 MiB: counters, a grid of memory pages, and keys. Nothing is downloaded.',
    hasScreen: true,
    canReplay: true,
    steps: 'pulse-steps',
    places: PULSE_PLACES,
  },
  {
    name: 'pulse-steps',
    title: 'Pulse, step by step',
    about:
      'Pulse in a PC that does the same again: to be gone back and forth over, an instruction at a time.',
    hasScreen: true,
    canReplay: true,
    canStep: true,
    steps: 'pulse-steps',
    places: PULSE_PLACES,
  },
  {
    name: 'micropython',
    title: 'MicroPython',
    about: 'A Python prompt. Its variables, its history and the half-typed line are its memory.',
    hasScreen: false,
    asksBy: "open('/dev/vitrine','w').write('save')",
  },
  {
    name: 'linux',
    title: 'Linux',
    about: 'A Debian kernel and busybox in a PC of 128 MiB, from images built on this machine.',
    hasScreen: true,
    images: 'guests/',
    canReplay: true,
    steps: 'linux-steps',
    asksBy: 'vitrine save',
  },
  {
    name: 'linux-steps',
    title: 'Linux, step by step',
    about: 'Linux, interpreted in a PC that does the same again: to be gone back and forth over.',
    hasScreen: true,
    images: 'guests/',
    canReplay: true,
    canStep: true,
    steps: 'linux-steps',
    isHidden: true,
  },
  {
    name: 'rp2040',
    title: 'RP2040',
    about:
      'A Raspberry Pi Pico’s chip with firmware of our own: timer, DMA, PIO, and commands on its serial line.',
    hasScreen: false,
    canReplay: true,
    asksBy: 's',
    places: [
      { title: 'counters', address: 0x2000_0000 },
      { title: 'typed line', address: 0x2000_0040 },
      { title: 'sums of pages', address: 0x2000_0060 },
      { title: 'working set', address: 0x2001_0000 },
      { title: 'program', address: 0x1000_0000 },
    ],
  },
  {
    name: 'flat',
    title: 'Flat',
    about: 'Two registers and 1 MiB: the smallest guest, the one to copy for a new emulator.',
    hasScreen: false,
    canReplay: true,
  },
] as const satisfies readonly CatalogEntry[];

const FORK_PATTERN = /^(.+?)-fork-\d+$/;

/** The guest that a machine is, by the machine's name: `pulse-fork-2` is a `pulse`. Undefined for a foreign one. */
export function catalogEntryOf(machine: string): CatalogEntry | undefined {
  const name = FORK_PATTERN.exec(machine)?.[1] ?? machine;
  return CATALOG.find((entry) => entry.name === name);
}

/** Whether snapshots of one go into machines of the other. */
export function areKin(a: CatalogEntry | undefined, b: CatalogEntry | undefined): boolean {
  return a !== undefined && b !== undefined && (a.steps ?? a.name) === (b.steps ?? b.name);
}

/** The first free name for a fork of a machine. */
export function forkNameOf(machine: string, taken: ReadonlySet<string>): string {
  const name = FORK_PATTERN.exec(machine)?.[1] ?? machine;
  for (let number = 1; ; number++) {
    const fork = `${name}-fork-${number}`;
    if (!taken.has(fork)) return fork;
  }
}

/** Whether what an entry needs is served here. */
export async function isOffered(entry: CatalogEntry): Promise<boolean> {
  if (entry.images === undefined) return true;
  const answer = await fetch(`${entry.images}manifest.json`).catch(() => undefined);
  return answer?.ok === true && (answer.headers.get('content-type') ?? '').includes('json');
}
