// A guest's worker: which guests there are, and nothing else. Each is loaded when it is opened, so that a page pays only
// for the guest it shows.
import { VitrineError } from '../src/base/error.ts';
import { loadKernels } from '../src/kernel/load.ts';
import { GuestHost, type OpenGuest } from '../src/rpc/guest-host.ts';
import { serve } from '../src/rpc/ready.ts';

const GUESTS: Readonly<Record<string, OpenGuest>> = {
  pulse: async (spec) => (await import('../src/app/guests/pulse.ts')).openPulse(spec),
  'pulse-steps': async (spec) => (await import('../src/app/guests/pulse.ts')).openPulseBySteps(spec),
  micropython: async () => (await import('../src/app/guests/micropython.ts')).openMicroPythonPrompt(),
  linux: async (spec) => (await import('../src/app/guests/linux.ts')).openLinux(spec),
  'linux-steps': async (spec) => (await import('../src/app/guests/linux.ts')).openLinuxBySteps(spec),
  rp2040: async (spec) => (await import('../src/app/guests/rp2040.ts')).openRp2040WithTally(spec),
  flat: async () => (await import('../src/app/guests/flat.ts')).openFlat(),
};

serve(
  new GuestHost({
    openGuest(spec) {
      const open = GUESTS[spec.name];
      if (open === undefined) throw new VitrineError('not-found', { guest: spec.name });
      return open(spec);
    },
    openKernels: loadKernels,
  }),
);
