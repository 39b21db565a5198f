// VMCOREINFO: what a Linux kernel notes about itself in a page of memory, for tools that read its memory after a crash.
// Text, a line a fact: `OSRELEASE=6.1.0`, `SYMBOL(init_uts_ns)=c5d45da0`, `OFFSET(page.flags)=0`. Nobody has to ask the guest.

import type { PhysicalMemory } from './physical-memory.ts';

const START = Buffer.from(new TextEncoder().encode('OSRELEASE='));
const PAGE_BYTES = 4096;

export class KernelNotes {
  /** As the kernel wrote it. */
  readonly text: string;
  readonly #facts = new Map<string, string>();

  constructor(text: string) {
    this.text = text;
    for (const line of text.split('\n')) {
      const at = line.indexOf('=');
      if (at > 0) this.#facts.set(line.slice(0, at), line.slice(at + 1));
    }
  }

  /** Such as `6.1.0-50-686`. */
  get release(): string {
    return this.#facts.get('OSRELEASE') ?? '';
  }

  has(fact: string): boolean {
    return this.#facts.has(fact);
  }

  symbol(name: string): bigint | undefined {
    const text = this.#facts.get(`SYMBOL(${name})`);
    return text !== undefined && /^[0-9a-f]{1,16}$/.test(text) ? BigInt(`0x${text}`) : undefined;
  }

  /** `OFFSET(type.member)`, in bytes. */
  offset(member: string): number | undefined {
    return this.#count(`OFFSET(${member})`);
  }

  /** `SIZE(type)`, in bytes. */
  size(type: string): number | undefined {
    return this.#count(`SIZE(${type})`);
  }

  number(name: string): bigint | undefined {
    const text = this.#facts.get(`NUMBER(${name})`);
    return text !== undefined && /^-?\d{1,20}$/.test(text) ? BigInt(text) : undefined;
  }

  /** Counts are of structures: what is more than a page is not one. */
  #count(fact: string): number | undefined {
    const value = Number(this.#facts.get(fact) ?? Number.NaN);
    return Number.isSafeInteger(value) && value >= 0 && value <= 65_536 ? value : undefined;
  }
}

/** Every page that is such a note, in address order: there may be those of a kernel that ran before. */
export async function* findKernelNotes(memory: PhysicalMemory): AsyncGenerator<KernelNotes> {
  for await (const { bytes } of memory.pieces()) {
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
      if (bytes[at] !== START[0] || !START.equals(bytes.subarray(at, at + START.length))) continue;
      const page = bytes.subarray(at, at + PAGE_BYTES);
      const end = page.indexOf(0);
      yield new KernelNotes(Buffer.from(end < 0 ? page : page.subarray(0, end)).toString('latin1'));
    }
  }
}
