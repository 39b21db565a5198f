// Files among QEMU's arguments, by their whole paths: a bridge may run in another folder than whoever types them. What is no file to
// QEMU stays as it is, also where a file of that name lies here: `-nic user` beside a folder `user`.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { optionsIn, quoted, unquoted } from '../qemu/option-list.ts';

/** Options whose value is a file. */
const FILES = ['kernel', 'initrd', 'bios', 'dtb', 'cdrom', 'option-rom', 'L'];
/** Fields of other options' values that are. */
const FIELD = /^(file|path|filename|script|downscript|tftp|smb|romfile)=(.+)$/;

/** The arguments, with those files that are here named in full. */
export function nameFiles(args: readonly string[]): string[] {
  let option = '';
  return args.map((argument) => {
    const isValueOf = option;
    option = /^--?([A-Za-z][\w-]*)$/.exec(argument)?.[1] ?? '';
    if (option !== '') return argument;
    if (FILES.includes(isValueOf)) return whole(argument);
    return optionsIn(argument)
      .map((part) => {
        const [, field, path] = FIELD.exec(part) ?? [];
        return field === undefined ? part : `${field}=${quoted(whole(unquoted(path!)))}`;
      })
      .join(',');
  });
}

function whole(path: string): string {
  return existsSync(path) ? resolve(path) : path;
}
