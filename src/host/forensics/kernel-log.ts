// The kernel's log as `dmesg` shows it, out of the ring that printk writes since Linux 5.10: descriptors with a state each, and
// texts in a ring of their own. Written by a running kernel without a lock, so a record counts only when its descriptor says
// that it is complete and is the one it should be.

import { VitrineError } from '../../base/error.ts';
import type { LinuxKernel } from './linux-kernel.ts';
import { printable } from './virtual-memory.ts';

/** One record; its text may have more than one line. */
export interface LogRecord {
  readonly sequence: number;
  /** Since the kernel started, in microseconds, cut as the kernel does. */
  readonly microseconds: number;
  readonly text: string;
}

const MAX_COUNT_BITS = 20;
const MAX_SIZE_BITS = 26;
const COMMITTED = 1n;
const FINALIZED = 2n;
/** A record without text has a position with this bit. */
const NO_TEXT = 1n;

/** Every complete record, oldest first. Throws `unsupported` for a kernel whose log is of another form. */
export async function readLog(kernel: LinuxKernel): Promise<LogRecord[]> {
  const { notes, memory } = kernel;
  const offset = (member: string): bigint => {
    const found = notes.offset(member);
    if (found === undefined) throw new VitrineError('unsupported', { missing: `${member} in VMCOREINFO` });
    return BigInt(found);
  };
  const size = (type: string): number => {
    const found = notes.size(type);
    if (found === undefined || found === 0)
      throw new VitrineError('unsupported', { missing: `${type} in VMCOREINFO` });
    return found;
  };
  const bits = memory.pointerBytes * 8;
  const ring = await memory.long(await kernel.address('prb'));
  const descriptors = ring + offset('printk_ringbuffer.desc_ring');
  const texts = ring + offset('printk_ringbuffer.text_data_ring');
  const countBits = await memory.u32(descriptors + offset('prb_desc_ring.count_bits'));
  const sizeBits = await memory.u32(texts + offset('prb_data_ring.size_bits'));
  if (countBits > MAX_COUNT_BITS || sizeBits > MAX_SIZE_BITS) {
    throw new VitrineError('format-limit', { field: 'printk_ringbuffer', countBits, sizeBits });
  }
  const count = 2n ** BigInt(countBits);
  const textBytes = 2 ** sizeBits;
  const pointer = (at: bigint): Promise<bigint> => memory.long(at);
  const descs = await memory.read(
    await pointer(descriptors + offset('prb_desc_ring.descs')),
    Number(count) * size('prb_desc'),
  );
  const infos = await memory.read(
    await pointer(descriptors + offset('prb_desc_ring.infos')),
    Number(count) * size('printk_info'),
  );
  const data = await memory.read(await pointer(texts + offset('prb_data_ring.data')), textBytes);
  const descView = new DataView(descs.buffer);
  const infoView = new DataView(infos.buffer);
  const long = (view: DataView, at: number): bigint =>
    bits === 64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  const idMask = 2n ** BigInt(bits - 2) - 1n;
  const tail = (await pointer(descriptors + offset('prb_desc_ring.tail_id'))) & idMask;
  const head = (await pointer(descriptors + offset('prb_desc_ring.head_id'))) & idMask;
  const total = ((head - tail) & idMask) + 1n;
  const records: LogRecord[] = [];
  for (let step = 0n; step < total && step < count; step++) {
    const id = (tail + step) & idMask;
    const index = Number(id & (count - 1n));
    const descAt = index * size('prb_desc');
    const state = long(descView, descAt + Number(offset('prb_desc.state_var')));
    const kind = state >> BigInt(bits - 2);
    if ((kind !== COMMITTED && kind !== FINALIZED) || (state & idMask) !== id) continue;
    const infoAt = index * size('printk_info');
    const place = descAt + Number(offset('prb_desc.text_blk_lpos'));
    const begin = long(descView, place + Number(offset('prb_data_blk_lpos.begin')));
    const next = long(descView, place + Number(offset('prb_data_blk_lpos.next')));
    const length = infoView.getUint16(infoAt + Number(offset('printk_info.text_len')), true);
    const text = (begin & NO_TEXT) !== 0n ? '' : textOf(data, begin, next, length, bits / 8);
    if (text === undefined) continue;
    records.push({
      sequence: Number(infoView.getBigUint64(infoAt + Number(offset('printk_info.seq')), true)),
      microseconds: Number(
        infoView.getBigUint64(infoAt + Number(offset('printk_info.ts_nsec')), true) / 1000n,
      ),
      text,
    });
  }
  return records;
}

/** `[    1.234567] text`, a line each, as dmesg prints it. */
export function linesOfLog(records: readonly LogRecord[]): string[] {
  return records.flatMap(({ microseconds, text }) => {
    const head = `[${(microseconds / 1e6).toFixed(6).padStart(12)}] `;
    return text.split('\n').map((line) => `${head}${line}`);
  });
}

/** A block begins with its id; one that would not fit at the end of the ring begins at its start. */
function textOf(
  data: Uint8Array,
  begin: bigint,
  next: bigint,
  length: number,
  idBytes: number,
): string | undefined {
  const mask = BigInt(data.length - 1);
  const from = Number(begin & mask);
  const to = Number(next & mask);
  const start = (from < to || to === 0 ? from : 0) + idBytes;
  const end = to === 0 ? data.length : to;
  if (start > end) return undefined;
  return printable(Buffer.from(data.subarray(start, Math.min(start + length, end))).toString('utf8'));
}
