// Arguments of QEMU's by which a process takes what only one can have: ports, sockets, files that it writes. A process that nobody asked for,
// as one that waits ahead of time, must not have such, or the machine that is started next finds its port taken.

/** Options that reach nothing beyond the process, whatever their value. */
const INSIDE = [
  ...['cpu', 'smp', 'global', 'vga', 'boot', 'name', 'uuid', 'smbios', 'numa', 'k', 'L', 'usb', 'no-hpet'],
  ...['no-acpi', 'no-fd-bootchk', 'action', 'watchdog-action', 'enable-kvm', 'overcommit', 'msg'],
];

/** Options that reach beyond it with some values. */
const BY_VALUE: Readonly<Record<string, RegExp>> = {
  device: /^(?!vfio|vhost|usb-host|ivshmem|ipmi|tpm|pci-assign)[\w.-]+(,|$)/,
  // QEMU's own network, without ports of the host and files of it.
  netdev: /^user(?!.*,(hostfwd|guestfwd|smb|tftp|bootfile)=)/,
  nic: /^(none$|user(?!.*,(hostfwd|guestfwd|smb|tftp|bootfile)=))/,
  net: /^none$/,
  parallel: /^none$/,
  object: /^(rng-random|rng-builtin|iothread|secret)(,|$)/,
};

/** The first of these that may; undefined where none does. What is not known is taken for one that does. */
export function reachesOutside(args: readonly string[]): string | undefined {
  for (let at = 0; at < args.length; at++) {
    const option = /^--?([A-Za-z][\w-]*)$/.exec(args[at]!)?.[1];
    if (option === undefined) return args[at];
    const value = args[at + 1]?.startsWith('-') === false ? args[++at]! : '';
    if (INSIDE.includes(option)) continue;
    if (!Object.hasOwn(BY_VALUE, option) || !BY_VALUE[option]!.test(value))
      return `-${option} ${value}`.trim();
  }
  return undefined;
}
