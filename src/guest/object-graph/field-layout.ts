// The fields that an object has now. Asked at each save and each load; answered from what was found last for as long as the
// object has the same keys, since asking whether a place belongs to the host takes longer than saving it.

import { joinPath, type KnownNode } from './inventory.ts';

export class FieldLayout {
  readonly #node: KnownNode;
  readonly #isWiring: (path: string) => boolean;
  #keys: readonly string[] | undefined;
  #fields: readonly string[];

  constructor(node: KnownNode, isWiring: (path: string) => boolean) {
    this.#node = node;
    this.#isWiring = isWiring;
    this.#fields = node.fields;
  }

  /** The saved fields, in order: the very array of the inventory when they are those it has. */
  now(): readonly string[] {
    const { object, path, hidden, fields } = this.#node;
    if (this.#keys !== undefined && hasKeys(object, this.#keys)) return this.#fields;
    const keys = Object.keys(object);
    if (this.#keys === undefined || !equalTexts(keys, this.#keys)) {
      this.#keys = keys;
      const found = keys.filter((key) => !hidden.has(key) && !this.#isWiring(joinPath(path, key)));
      this.#fields = equalTexts(found, fields) ? fields : found;
    }
    return this.#fields;
  }
}

/** Without the array that `Object.keys` makes. Prototypes with enumerable methods answer no, and are asked again. */
function hasKeys(object: object, keys: readonly string[]): boolean {
  let at = 0;
  for (const key in object) if (key !== keys[at++]) return false;
  return at === keys.length;
}

export function equalTexts(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
