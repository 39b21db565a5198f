// A real Linux's memory as that of a kernel built without VMCOREINFO: its notes wiped out; and the System.map that its build would have
// written, told from its own symbols and how far it moved itself.

import type { LinuxKernel } from '../../src/host/forensics/linux-kernel.ts';
import { PhysicalMemory } from '../../src/host/forensics/physical-memory.ts';

const NOTES = Buffer.from('OSRELEASE=');
const PAGE_BYTES = 4096;
const LOWEST_KERNEL_ADDRESS = 0xc000_0000n;

export function muted(memory: PhysicalMemory): PhysicalMemory {
  return new PhysicalMemory(memory.ranges, async (address, lengthBytes) => {
    const bytes = await memory.read(address, lengthBytes);
    for (let at = -address % PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
      if (at >= 0 && NOTES.equals(bytes.subarray(at, at + NOTES.length))) bytes.fill(0, at, at + PAGE_BYTES);
    }
    return bytes;
  });
}

/** What a System.map has and a kernel may not keep: Debian's of 32 bits keeps its functions alone. */
async function dataOf(kernel: LinuxKernel): Promise<Map<string, bigint>> {
  const data = new Map<string, bigint>();
  for (const name of ['swapper_pg_dir', 'init_uts_ns', 'prb']) data.set(name, kernel.notes.symbol(name)!);
  const start = `Linux version ${kernel.notes.release} `;
  for await (const { address, bytes } of kernel.memory.physical.pieces()) {
    const piece = Buffer.from(bytes);
    for (let at = piece.indexOf(start); at >= 0; at = piece.indexOf(start, at + 1)) {
      // In the log it does not end so.
      const end = piece.indexOf('\n\0', at);
      if (end < 0 || piece.subarray(at, end).includes(0)) continue;
      data.set('linux_banner', kernel.imageAddress(address + at));
      return data;
    }
  }
  throw new Error('no banner');
}

export async function mapOf(kernel: LinuxKernel): Promise<string> {
  const moved = BigInt(`0x${/^KERNELOFFSET=([0-9a-f]+)$/m.exec(kernel.notes.text)?.[1] ?? '0'}`);
  const lines: string[] = [];
  const own = await kernel.symbols();
  const others = own.has('linux_banner') ? [] : await dataOf(kernel);
  for (const [name, address] of new Map([...others, ...own])) {
    const built = address < LOWEST_KERNEL_ADDRESS ? address : address - moved;
    lines.push(`${built.toString(16).padStart(2 * kernel.memory.pointerBytes, '0')} T ${name}\n`);
  }
  return lines.join('');
}
