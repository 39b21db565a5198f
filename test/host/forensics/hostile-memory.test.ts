// Memory that lies: a guest can write what it likes where a kernel is looked for. Whatever it is, the answer is data or a typed
// error, after a bounded time, and nothing that drives a terminal.

import { describe, expect, it } from 'vitest';
import { isVitrineError } from '../../../src/base/error.ts';
import { readLog } from '../../../src/host/forensics/kernel-log.ts';
import { LinuxKernel } from '../../../src/host/forensics/linux-kernel.ts';
import { PhysicalMemory } from '../../../src/host/forensics/physical-memory.ts';
import { readProcesses } from '../../../src/host/forensics/processes.ts';
import { textIn } from '../../../src/host/forensics/virtual-memory.ts';
import { codeOf } from '../../../src/testing/guest-suites/subject.ts';
import { Random } from '../../../src/testing/random.ts';
import { seedOfRun } from '../../support/seed.ts';

const SIZE = 0x10_0000;
const NOTES_AT = 0x3000;
const ROOT = 0x1000;
const NAME_AT = 0x8000;
const START = 0xc000_0000;

/** Notes as a 32-bit kernel has them; all that they name lies in the mebibyte. */
const FACTS: Readonly<Record<string, string>> = {
  OSRELEASE: '6.1.0-lie',
  'SYMBOL(init_uts_ns)': (START + NAME_AT).toString(16),
  'OFFSET(uts_namespace.name)': '0',
  'SYMBOL(swapper_pg_dir)': (START + ROOT).toString(16),
  'SYMBOL(_stext)': (START + 0x9000).toString(16),
  'SYMBOL(prb)': (START + 0xa000).toString(16),
  'OFFSET(printk_ringbuffer.desc_ring)': '0',
  'OFFSET(printk_ringbuffer.text_data_ring)': '24',
  'OFFSET(prb_desc_ring.count_bits)': '0',
  'OFFSET(prb_desc_ring.descs)': '4',
  'OFFSET(prb_desc_ring.infos)': '8',
  'OFFSET(prb_desc_ring.head_id)': '12',
  'OFFSET(prb_desc_ring.tail_id)': '16',
  'OFFSET(prb_data_ring.size_bits)': '0',
  'OFFSET(prb_data_ring.data)': '4',
  'OFFSET(prb_desc.state_var)': '0',
  'OFFSET(prb_desc.text_blk_lpos)': '4',
  'OFFSET(prb_data_blk_lpos.begin)': '0',
  'OFFSET(prb_data_blk_lpos.next)': '4',
  'OFFSET(printk_info.seq)': '0',
  'OFFSET(printk_info.ts_nsec)': '8',
  'OFFSET(printk_info.text_len)': '16',
  'SIZE(prb_desc)': '12',
  'SIZE(printk_info)': '88',
  'SYMBOL(kallsyms_names)': (START + 0xb000).toString(16),
  'SYMBOL(kallsyms_num_syms)': (START + 0xc000).toString(16),
  'SYMBOL(kallsyms_token_table)': (START + 0xd000).toString(16),
  'SYMBOL(kallsyms_token_index)': (START + 0xe000).toString(16),
  'SYMBOL(kallsyms_offsets)': (START + 0xf000).toString(16),
  'SYMBOL(kallsyms_relative_base)': (START + 0xc004).toString(16),
};

function put(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

/** A kernel that is recognized, over the bytes given. */
function lyingMemory(bytes: Uint8Array, facts: Readonly<Record<string, string>>): PhysicalMemory {
  const notes = Object.entries(facts).map(([name, value]) => `${name}=${value}\n`);
  bytes.fill(0, NOTES_AT, NOTES_AT + 4096);
  put(bytes, NOTES_AT, notes.join(''));
  bytes.fill(0, NAME_AT, NAME_AT + 400);
  put(bytes, NAME_AT + 130, facts.OSRELEASE ?? '');
  // One entry maps the first 4 MiB at 3 GiB.
  new DataView(bytes.buffer).setUint32(ROOT + 4 * 0x300, 0x83, true);
  return new PhysicalMemory([{ address: 0, lengthBytes: SIZE }], async (at, length) =>
    bytes.slice(at, at + length),
  );
}

describe('memory that lies', () => {
  it('is recognized here at all', async () => {
    const kernel = await LinuxKernel.find(lyingMemory(new Uint8Array(SIZE), FACTS));
    expect((await kernel.name()).release).toBe('6.1.0-lie');
  });

  it('gives data or typed errors, whatever its bytes and its notes', async () => {
    const random = new Random(seedOfRun());
    const names = Object.keys(FACTS);
    for (let round = 0; round < 60; round++) {
      const bytes = round % 3 === 0 ? new Uint8Array(SIZE).fill(0xff) : random.bytes(SIZE);
      // Small counts get further than random ones.
      if (round % 3 === 1)
        for (let at = 0xa000; at < 0x10000; at += 4) bytes[at + 1] = bytes[at + 2] = bytes[at + 3] = 0;
      const facts: Record<string, string> = { ...FACTS };
      for (let lies = random.below(4); lies > 0; lies--) {
        facts[random.pick(names)] = random.pick([
          '0',
          '-1',
          'ffffffff',
          '99999999999999999999',
          '',
          'zz',
          '65536',
          '8',
        ]);
      }
      const memory = lyingMemory(bytes, facts);
      for (const read of [readLog, readProcesses, (kernel: LinuxKernel) => kernel.symbols()]) {
        try {
          await read(await LinuxKernel.find(memory));
        } catch (error) {
          if (!isVitrineError(error)) throw error;
        }
      }
    }
  });

  it('without a kernel has none', async () => {
    const memory = new PhysicalMemory(
      [{ address: 0, lengthBytes: SIZE }],
      async (_, length) => new Uint8Array(length),
    );
    expect(await codeOf(() => LinuxKernel.find(memory))).toBe('not-found');
    // Notes alone are not enough: what they say has to stand where they say.
    const alone = lyingMemory(new Uint8Array(SIZE), {
      ...FACTS,
      'SYMBOL(init_uts_ns)': (START + 0x7000).toString(16),
    });
    expect(await codeOf(() => LinuxKernel.find(alone))).toBe('not-found');
  });

  it('does not drive the terminal of who looks', () => {
    const text = textIn(new TextEncoder().encode('a\x1b]0;owned\x07\x9b31m\tb\n\0c'));
    expect(text).toBe('a\\x1b]0;owned\\x07\\x9b31m\tb\n');
  });
});
