// `vitrine run`, `attach`, `stop`, `pause` and `resume`: machines come and go.

import { resolve } from 'node:path';
import { BELL_WORDS, type BellWord } from '../qemu/bell-line.ts';
import { UsageError } from './command.ts';
import { nameFiles } from './name-files.ts';
import { readNumber } from './quantity.ts';
import { verbCommand } from './verb-command.ts';

export const runCommand = verbCommand({
  name: 'run',
  summary: 'starts a QEMU machine the way the bridge wants it',
  help: `vitrine run web --memory 512M -- -kernel vmlinuz -initrd initrd -append "console=ttyS0"
vitrine run disk -- -m 1G -smp 2 -drive file=disk.qcow2,if=virtio
vitrine run desk --vga std -- -drive file=disk.qcow2,if=virtio
vitrine run web

Starts QEMU with its memory in a file, so that it can be saved, restored and looked into. What stands after "--" are QEMU's
own arguments; files among them that are here are named in full, since the bridge may run elsewhere. A disk of if=virtio is saved
with the machine, and its file is never written: what the machine writes goes to layers over it. A name alone starts a machine
as it was started last. It ends with the bridge, unless that is killed or was told to keep machines (serve --keep-machines).

  --profile NAME        what the bridge's configuration has by that name, in place of all that follows
  --memory SIZE         128M when left out
  --accel auto|kvm|tcg  KVM, or QEMU's own translation, which runs everywhere and slower. With auto, or nothing, KVM where a trial of it on
                        this host came up in long mode and was put back; "vitrine status" says which it is, and why. A machine keeps
                        it: snapshots go into machines that have the same
  --vga std|none        a VGA adapter, whose picture the page shows and types into; none when left out
  --free-pages          a balloon by which a Linux kernel tells what memory is free: that takes no room, here and in snapshots.
                        Forks of it do not share RAM
  --vmgenid             a device by which its kernel hears that it goes on in another process, as a fork or after a restore there, and
                        makes its random numbers anew (Linux with CONFIG_VMGENID, from 5.18; Windows). Brought back in its own
                        process it does not
  --doorbell WORDS      what programs of the guest may ask for at the port org.vitrine.bell, of save,checkpoint,reset; nothing when
                        left out. Two snapshots at once, then one a second, and they are yours to remove
`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'one name; QEMU arguments go after "--"' },
  options: {
    profile: { type: 'string' },
    memory: { type: 'string' },
    accel: { type: 'string' },
    vga: { type: 'string' },
    'free-pages': { type: 'boolean' },
    vmgenid: { type: 'boolean' },
    doorbell: { type: 'string' },
  },
  takesRest: true,
  async run({ client, names: [name], rest, values, work, result, say }) {
    const memoryBytes =
      values.memory === undefined ? undefined : readNumber(String(values.memory), '--memory');
    const given = ['accel', 'vga'].flatMap((option) =>
      values[option] === undefined ? [] : [`-${option}`, String(values[option])],
    );
    const generation = values.vmgenid === true ? ['-device', 'vmgenid,guid=auto'] : [];
    const args = [...given, ...generation, ...nameFiles(rest)];
    await client.run(
      {
        name: name!,
        ...(values.profile === undefined ? {} : { profile: String(values.profile) }),
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(values.doorbell === undefined ? {} : { doorbell: readDoorbell(String(values.doorbell)) }),
        ...(values['free-pages'] === true ? { freePages: true } : {}),
        ...(args.length === 0 ? {} : { arguments: args }),
      },
      work,
    );
    result({ name }, `${name}\n`);
    say(`"vitrine save ${name}" makes a snapshot, "vitrine console ${name}" is its serial line`);
  },
});

export const attachCommand = verbCommand({
  name: 'attach',
  summary: 'adopts a QEMU machine that runs',
  help: `vitrine attach web --qmp /run/web/qmp.sock

The machine stays its owner's: "vitrine stop" and the end of the bridge leave it running. Its disks are not saved, so that one with a
disk that it can write to is saved and looked into, and not restored.

  --qmp SOCKET          where its monitor listens
`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'a name' },
  options: { qmp: { type: 'string' } },
  async run({ client, names: [name], values, work, result }) {
    await client.attach(name!, resolve(String(values.qmp ?? 'qmp.sock')), work);
    result({ name }, `${name}\n`);
  },
});

export const stopCommand = verbCommand({
  name: 'stop',
  summary: 'ends a machine; its snapshots stay',
  help: `vitrine save web && vitrine stop web

Ends its process at once, as pulling the plug does. "vitrine restore web SNAPSHOT --fresh" brings it back.

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], result }) {
    await client.machine(name!).stop();
    result({ name }, '');
  },
});

export const pauseCommand = verbCommand({
  name: 'pause',
  summary: 'a machine rests until it is resumed',
  help: `vitrine pause web

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], result }) {
    await client.machine(name!).pause();
    result({ name }, '');
  },
});

export const resumeCommand = verbCommand({
  name: 'resume',
  summary: 'a machine that rests goes on',
  help: `vitrine resume web

`,
  needs: 'machines',
  names: { least: 1, most: 1, what: 'the name of a machine' },
  async run({ client, names: [name], result }) {
    await client.machine(name!).resume();
    result({ name }, '');
  },
});

/** `save,reset`. Throws `UsageError`. */
function readDoorbell(text: string): BellWord[] {
  return text.split(',').map((word) => {
    const known = BELL_WORDS.find((one) => one === word);
    if (known === undefined) throw new UsageError(`--doorbell takes ${BELL_WORDS.join(',')}, not "${word}"`);
    return known;
  });
}
