// PCI address ranges across a restore, where v86 goes wrong twice: it throws on a device with a range that is not there
// (the IDE controller of every machine without a hard disk), and it leaves the ports of a range that was moved after
// the snapshot mapped at the newer place too.

import type { V86Cpu, V86PciBar } from './v86-internals.ts';

/** Ports below this belong to the ISA bus; v86 moves none of them. */
const FIRST_MOVABLE_PORT = 0x1000;

/** Where address ranges begin in a device's configuration space, in words. */
const FIRST_BAR_WORD = 4;

const MISSING: V86PciBar = { size: 0, original_bar: 0, entries: [] };

/** Runs `work`, which restores PCI state, with every range present and none mapped where the guest moved it to. */
export function withPlainBars<T>(cpu: V86Cpu, work: () => T): T {
  const { devices, device_spaces: spaces, io } = cpu.devices.pci;
  const holes: { readonly bars: (V86PciBar | undefined)[]; readonly index: number }[] = [];
  for (const [id, device] of devices.entries()) {
    for (const [index, bar] of (device?.pci_bars ?? []).entries()) {
      if (bar === undefined) {
        holes.push({ bars: device!.pci_bars, index });
        continue;
      }
      const address = spaces[id]?.[FIRST_BAR_WORD + index] ?? 0;
      const port = address & 0xfffe;
      if ((address & 1) === 0 || port < FIRST_MOVABLE_PORT || address === bar.original_bar) continue;
      for (let i = 0; i < bar.size; i++) io.ports[port + i] = io.create_empty_entry();
    }
  }
  for (const { bars, index } of holes) bars[index] = MISSING;
  try {
    return work();
  } finally {
    for (const { bars, index } of holes) bars[index] = undefined;
  }
}
