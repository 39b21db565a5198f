// `vitrine peek TARGET --map`, `--registers`: where a machine's memory lies, and what its processors hold at one instant.

import { VitrineError } from '../../base/error.ts';
import type { Region } from '../../memory/region.ts';
import { UsageError } from './command.ts';
import type { PeekTarget } from './peek-linux.ts';
import { bytesText } from './quantity.ts';
import { textTable } from './text-table.ts';
import type { VerbCall } from './verb-command.ts';

export const MACHINE_VIEWS = ['map', 'registers'] as const;
export type MachineView = (typeof MACHINE_VIEWS)[number];

export async function peekMachine(call: VerbCall, of: PeekTarget, view: MachineView): Promise<void> {
  if (view === 'map') await showMap(call, of);
  else await showRegisters(call, of);
}

type MapRow = Pick<Region, 'name' | 'guestAddress' | 'sizeBytes' | 'pageBytes'> & { readonly kind: string };

async function showMap({ client, result }: VerbCall, of: PeekTarget): Promise<void> {
  const regions =
    'machine' in of ? await regionsNow(client, of.machine) : await regionsOf(client, of.snapshot);
  const hex = (address: number): string => `0x${address.toString(16)}`;
  const rows = regions.map(({ name, kind, guestAddress, sizeBytes, pageBytes }) => [
    ...[name, kind],
    guestAddress === null ? '-' : hex(guestAddress),
    guestAddress === null ? '-' : hex(guestAddress + Math.max(sizeBytes, 1) - 1),
    ...[bytesText(sizeBytes), bytesText(pageBytes)],
  ]);
  const told = regions.map(({ name, kind, guestAddress, sizeBytes, pageBytes }) => ({
    ...{ name, kind, guestAddress, sizeBytes, pageBytes },
  }));
  result({ ...of, regions: told }, textTable(['REGION', 'KIND', 'FROM', 'TO', 'SIZE', 'PAGE'], rows));
}

async function regionsNow(client: VerbCall['client'], machine: string): Promise<readonly MapRow[]> {
  const { state, description } = await client.machine(machine).status();
  if (description !== null) return description.regions;
  throw new VitrineError('wrong-state', { machine, actual: state, required: 'running' });
}

async function regionsOf(client: VerbCall['client'], snapshot: string): Promise<readonly MapRow[]> {
  return (await client.show(snapshot)).manifest.regions;
}

async function showRegisters({ client, result }: VerbCall, of: PeekTarget): Promise<void> {
  if (!('machine' in of)) throw new UsageError('--registers is of a machine, not of a snapshot');
  const processors = (await client.machine(of.machine).registers()).map(({ processor, registers }) => ({
    processor,
    registers: registers.map(({ name, value }) => ({ name, value: `0x${value.toString(16)}` })),
  }));
  const rows = processors.flatMap(({ processor, registers }) =>
    registers.map(({ name, value }) => [processor, name, value]),
  );
  result({ ...of, processors }, textTable(['CPU', 'REGISTER', 'VALUE'], rows));
}
