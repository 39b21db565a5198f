// What to do about what failed, in commands of this program where there are some, else as the table of codes has it.

import { ERRORS, type VitrineError } from '../../base/error.ts';

/** One line; undefined where there is nothing to do, as after Ctrl-C. */
export function adviceOf({ code, data }: VitrineError): string | undefined {
  if (typeof data.hint === 'string') return data.hint;
  if (typeof data.wants === 'string') return `It takes ${data.wants}.`;
  if (typeof data.allowedBy === 'string') return `It is allowed by ${data.allowedBy}.`;
  const name = typeof data.machine === 'string' ? data.machine : 'NAME';
  switch (code) {
    case 'aborted':
      return undefined;
    case 'connection-lost':
      return typeof data.start === 'string'
        ? `No bridge of this user has it: "${data.start}" starts one.`
        : remedyOf(code);
    case 'not-found':
      if (data.bookmark !== undefined) return `"vitrine rewind list ${name}" lists points and bookmarks.`;
      if (data.machines !== undefined) return '"vitrine ls" lists machines, "vitrine log" snapshots.';
      if (data.machine !== undefined) return '"vitrine ls" lists machines.';
      if (data.snapshot !== undefined) return '"vitrine log" lists snapshots.';
      return remedyOf(code);
    case 'wrong-state':
      if (data.required === 'stopped')
        return `"vitrine stop ${name}" ends it, "vitrine status ${name}" tells of it.`;
      if (data.required !== 'running') return remedyOf(code);
      if (data.actual !== 'stopped' && data.actual !== 'lost') return `"vitrine status ${name}" tells of it.`;
      return `"vitrine run ${name}" starts it anew, "vitrine restore ${name} SNAPSHOT --fresh" brings it back.`;
    case 'name-ambiguous':
      if (data.label !== undefined) return 'Give an id: "vitrine log" tells which is which.';
      return data.bridges === undefined ? remedyOf(code) : '"--bridge PORT" or "--store DIR" says which one.';
    case 'busy':
      return data.bridge === undefined
        ? remedyOf(code)
        : 'That bridge has the store: end it, or give commands to it.';
    case 'guest-mismatch':
      return '"vitrine show SNAPSHOT" tells which machine it is of; the field that differs is named above.';
    case 'unsupported':
      return data.kind === 'bundle' ? '"vitrine import FILE" brings it into a store.' : remedyOf(code);
    case 'store-full':
      return '"vitrine rm SNAPSHOT" and then "vitrine gc" free space; so does removing other files there.';
    default:
      return remedyOf(code);
  }
}

function remedyOf(code: VitrineError['code']): string {
  return ERRORS[code].remedy;
}
