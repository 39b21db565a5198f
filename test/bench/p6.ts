// P6: peeks of one instant through the bridge on loopback, from a QEMU machine that `vitrine serve` runs; against what a
// monitor gives: `pmemsave` at once, in pieces of 64 KB as a message limit cuts them, in pieces of 4 KB as a debugger reads,
// and the packets of QEMU's gdb stub. The peers' machine is another QEMU with the same Linux. The client is the CLI's, over TCP,
// as one of another host would be, and by the UNIX socket, as commands of this host are.
//
// How far that is from what the machine could do is told by floors in the same run: the same bytes through bare TCP and through
// bare WebSockets of `ws`, from another process that has them in memory and pauses nothing.
//
// Pieces are of as many instants as there are pieces; only the bridge and one `pmemsave` give one instant.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RemoteGuest } from '../../src/bridge/remote-guest.ts';
import { connectQmp } from '../../src/host/qemu/qmp.ts';
import { openGdbStub } from './gdb-stub.ts';
import { hasLinux } from './linux.ts';
import { LoopbackFloor } from './loopback-floor.ts';
import { QemuLinux, qemuVersion } from './qemu.ts';
import { type BenchResult, type BenchRow, median, takeTurns, throughput } from './row.ts';
import { ServedLinux } from './served-linux.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZES_MIB = [1, 16, 64] as const;
const FLOOR_MIB = 16;
const TIMES = 7;
const TIMES_IN_A_ROW = 20;
/** Past the first megabyte, whose video memory is no RAM. */
const FROM = 16 * MIB;
const GOAL_RATIO = 100;
const GOAL_GB_PER_S = 1;

export async function run(): Promise<BenchRow> {
  if (qemuVersion() === undefined || !hasLinux()) {
    return { row: 'P6', results: [], notes: ['Not measured: it takes QEMU and `npm run guests`.'] };
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-p6-'));
  const peer = await QemuLinux.boot(folder);
  const bridge = await ServedLinux.start(folder);
  const floor = await LoopbackFloor.open(FLOOR_MIB * MIB);
  try {
    const machine = await bridge.connect();
    /** The same by the UNIX socket. */
    const local = await bridge.connect('unix');
    return await measure({ machine, local }, peer, floor, folder);
  } finally {
    floor.close();
    await bridge.close();
    await peer.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(
  { machine, local }: { readonly machine: RemoteGuest; readonly local: RemoteGuest },
  peer: QemuLinux,
  floor: LoopbackFloor,
  folder: string,
): Promise<BenchRow> {
  const file = join(folder, 'dump');
  // A client that answers come to as events: the other one asks every millisecond.
  const monitor = await connectQmp(peer.secondMonitor);
  const pauses: Record<number, number[]> = {};
  const dump = async (sizeBytes: number, pieceBytes: number): Promise<void> => {
    for (let at = 0; at < sizeBytes; at += pieceBytes) {
      const size = Math.min(pieceBytes, sizeBytes - at);
      await monitor.execute('pmemsave', { val: FROM + at, size, filename: file });
      const { length } = await readFile(file);
      if (length !== size) throw new Error(`a dump of ${length} bytes`);
    }
  };
  const peek = async (sizeBytes: number): Promise<void> => {
    const { bytes, pauseMs } = await machine.peek([{ address: FROM, lengthBytes: sizeBytes }]);
    if (bytes[0]?.length !== sizeBytes) throw new Error('a peek of another length');
    pauses[sizeBytes] = [...(pauses[sizeBytes] ?? []), pauseMs];
  };
  const timed = (work: () => Promise<void>) => async () => {
    const startMs = performance.now();
    await work();
    return performance.now() - startMs;
  };
  const measures: Record<string, () => Promise<number>> = {
    'cuts 1': timed(() => dump(MIB, 4 * KIB)),
    'peek 4 KiB': timed(() => peek(4 * KIB)),
    'one 4 KiB': timed(() => dump(4 * KIB, 4 * KIB)),
    'floor tcp': timed(() => floor.overTcp()),
    'floor ws': timed(() => floor.overWebSocket()),
  };
  const sixteen = [{ address: FROM, lengthBytes: FLOOR_MIB * MIB }];
  const ofHost = [new Uint8Array(FLOOR_MIB * MIB)];
  measures['peek unix'] = timed(async () => void (await local.peek(sixteen)));
  // As over TCP, right after one that made its memory.
  measures['again unix'] = timed(async () => void (await local.peek(sixteen, { into: ofHost })));
  for (const size of SIZES_MIB) {
    measures[`peek ${size}`] = timed(() => peek(size * MIB));
    const into = [new Uint8Array(size * MIB)];
    measures[`again ${size}`] = timed(async () => {
      await machine.peek([{ address: FROM, lengthBytes: size * MIB }], { into });
    });
    measures[`one ${size}`] = timed(() => dump(size * MIB, size * MIB));
    // Of the largest it would take a minute of the bench for what the others tell.
    if (size < 64) measures[`pieces ${size}`] = timed(() => dump(size * MIB, 64 * KIB));
  }
  const ms: Record<string, number> = await takeTurns(TIMES, measures);
  // Whoever watches a machine looks again and again: nothing else has the processors' caches in between.
  const inARow: number[] = [];
  for (let time = 0; time < TIMES_IN_A_ROW; time++) inARow.push(await timed(() => peek(FLOOR_MIB * MIB))());
  const gdb = await openGdbStub(monitor, join(folder, 'gdb'));
  const again = await takeTurns(TIMES, {
    gdb: timed(() => gdb.read(FROM, MIB)),
    peek: timed(() => peek(MIB)),
  });
  ms['gdb 1'] = again.gdb;
  ms['peek 1, again'] = again.peek;
  const results: BenchResult[] = [];
  const ratio = (name: string, ours: string, other: string, goal?: number): void => {
    const [mine, theirs] = [ms[ours]!, ms[other]!];
    const judged = goal === undefined ? {} : { goal };
    results.push({
      name,
      value: theirs / mine,
      unit: 'x',
      better: 'higher',
      ours: mine,
      peer: theirs,
      ...judged,
    });
  };
  for (const size of SIZES_MIB) {
    const isJudged = size === 16;
    if (size < 64)
      ratio(
        `${size} MiB of one instant against 64 KB pieces, ms`,
        `peek ${size}`,
        `pieces ${size}`,
        isJudged ? GOAL_RATIO : undefined,
      );
    ratio(`${size} MiB of one instant against one pmemsave, ms`, `peek ${size}`, `one ${size}`);
    const rate = throughput(size * MIB, ms[`peek ${size}`]!);
    results.push({
      name: `${size} MiB of one instant, throughput`,
      value: rate,
      unit: 'GB/s',
      better: 'higher',
      ours: rate,
      ...(isJudged ? { goal: GOAL_GB_PER_S } : {}),
    });
    const again = throughput(size * MIB, ms[`again ${size}`]!);
    results.push({
      name: `${size} MiB of one instant into memory at hand, throughput`,
      value: again,
      unit: 'GB/s',
      better: 'higher',
      ours: again,
    });
    const pause = median(pauses[size * MIB] ?? []);
    results.push({ name: `${size} MiB, pause`, value: pause, unit: 'ms', better: 'lower', ours: pause });
  }
  ratio('4 KiB against one pmemsave, ms', 'peek 4 KiB', 'one 4 KiB');
  const pause = median(pauses[4 * KIB] ?? []);
  results.push({ name: '4 KiB, pause', value: pause, unit: 'ms', better: 'lower', ours: pause });
  const row = throughput(FLOOR_MIB * MIB, median(inARow));
  results.push({
    name: '16 MiB of one instant, twenty in a row, throughput',
    value: row,
    unit: 'GB/s',
    better: 'higher',
    ours: row,
  });
  const byHost = '16 MiB of one instant by the UNIX socket of this host';
  ratio(`${byHost} against 64 KB pieces, ms`, 'peek unix', 'pieces 16');
  for (const [name, measured] of [
    [byHost, 'peek unix'],
    [`${byHost}, into memory at hand`, 'again unix'],
  ] as const) {
    const unix = throughput(FLOOR_MIB * MIB, ms[measured]!);
    results.push({ name: `${name}, throughput`, value: unix, unit: 'GB/s', better: 'higher', ours: unix });
  }
  ratio('floor: 16 MiB at hand by bare WebSockets of ws, ms', 'again 16', 'floor ws');
  ratio('floor: 16 MiB at hand by bare TCP, ms', 'again 16', 'floor tcp');
  ratio('1 MiB against 4 KB pieces of pmemsave, ms', 'peek 1', 'cuts 1');
  ratio('1 MiB against the gdb stub, which stops the machine, ms', 'peek 1, again', 'gdb 1');
  gdb.close();
  monitor.close();
  return {
    row: 'P6',
    results,
    notes: [
      `QEMU ${qemuVersion()}, TCG; the bridge is a process of its own, its machine is at the shell, as is the peers'`,
      'peers write files in memory-backed or other temporary storage and are read back: there is no other way in QMP',
    ],
  };
}
