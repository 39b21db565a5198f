// `vitrine peek TARGET --dmesg`, `--ps`, `--uname`: what a Linux guest's memory says of it, read page by page over whatever
// leads to the machine. One that runs is held for it, so that lists do not change while they are walked.

import { readFile, stat } from 'node:fs/promises';
import { VitrineError } from '../../base/error.ts';
import { linesOfLog, readLog } from '../forensics/kernel-log.ts';
import { LinuxKernel } from '../forensics/linux-kernel.ts';
import { PhysicalMemory, type PhysicalRange } from '../forensics/physical-memory.ts';
import { readProcesses } from '../forensics/processes.ts';
import { MAX_MAP_BYTES, SystemMap } from '../forensics/system-map.ts';
import { ramIn, storedMemory } from './stored-memory.ts';
import { plainText, textTable } from './text-table.ts';
import type { VerbCall } from './verb-command.ts';

export type LinuxView = 'dmesg' | 'ps' | 'uname';
export const LINUX_VIEWS: readonly LinuxView[] = ['dmesg', 'ps', 'uname'];

export type PeekTarget = { readonly machine: string } | { readonly snapshot: string };

interface Asked {
  readonly view: LinuxView;
  readonly map: SystemMap | undefined;
}

/** A view as text, and as a value for `--json`. */
interface Shown {
  readonly value: object;
  readonly text: string;
}

/** With `mapFile` by the kernel's System.map. Throws `not-found` where there is no such file or kernel. */
export async function peekLinux(
  call: VerbCall,
  of: PeekTarget,
  view: LinuxView,
  mapFile?: string,
): Promise<void> {
  const map = mapFile === undefined ? undefined : await readMap(mapFile);
  const asked = { view, map };
  const shown = await ('machine' in of
    ? whileHeld(call, of.machine, asked)
    : ofSnapshot(call, of.snapshot, asked));
  call.result({ ...of, ...shown.value }, shown.text);
}

async function readMap(file: string): Promise<SystemMap> {
  const info = await stat(file).catch(() => undefined);
  if (info?.isFile() !== true) throw new VitrineError('not-found', { file });
  if (info.size > MAX_MAP_BYTES)
    throw new VitrineError('format-limit', { record: 'System.map', file, MAX_MAP_BYTES });
  return SystemMap.read(await readFile(file, 'latin1'));
}

async function ofSnapshot({ client }: VerbCall, snapshot: string, asked: Asked): Promise<Shown> {
  return show(asked, storedMemory(client, await client.show(snapshot)));
}

async function whileHeld({ client }: VerbCall, name: string, asked: Asked): Promise<Shown> {
  const machine = client.machine(name);
  const { state, description } = await machine.status();
  if (description === null)
    throw new VitrineError('wrong-state', { machine: name, actual: state, required: 'running' });
  const isRunning = state === 'running';
  if (isRunning) await machine.pause();
  try {
    const read = async (range: PhysicalRange) => (await machine.peek([range])).bytes[0]!;
    const memory = new PhysicalMemory(ramIn(description.regions), (address, lengthBytes) =>
      read({ address, lengthBytes }),
    );
    return await show(asked, memory);
  } finally {
    if (isRunning) await machine.resume();
  }
}

async function show({ view, map }: Asked, memory: PhysicalMemory): Promise<Shown> {
  const kernel = await LinuxKernel.find(memory, map);
  switch (view) {
    case 'uname': {
      const name = await kernel.name();
      const { system, host, release, version, architecture } = name;
      return {
        value: name,
        text: `${plainText([system, host, release, version, architecture].join(' '))}\n`,
      };
    }
    case 'dmesg': {
      const log = await readLog(kernel);
      return {
        value: { log },
        text: linesOfLog(log)
          .map((line) => `${keepTabs(line)}\n`)
          .join(''),
      };
    }
    case 'ps': {
      const processes = (await readProcesses(kernel)).map(({ pid, parent, name }) => ({ pid, parent, name }));
      const rows = processes.map(({ pid, parent, name }) => [pid, parent, name] as const);
      return { value: { processes }, text: textTable(['PID', 'PPID', 'NAME'], rows) };
    }
  }
}

/** Kernels write tabs. */
function keepTabs(line: string): string {
  return line.split('\t').map(plainText).join('\t');
}
