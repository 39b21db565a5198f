// What a manifest may hold: one list of rules for the encoder, which answers a broken one with
// `argument-invalid`, and for the decoder, which answers with `format-range`. The byte layout is not known here.

import { type ErrorCode, VitrineError } from '../base/error.ts';
import { LIMITS } from '../base/limits.ts';
import { isPageBytes } from '../memory/region.ts';
import { DIGEST_BYTES, isZeroDigest } from './digest.ts';
import type { Manifest, ManifestMachine } from './manifest.ts';
import type { Table } from './table.ts';

/** Throws `argument-invalid` when a manifest cannot be written. */
export function checkManifestGiven(manifest: Manifest): void {
  new Rules('argument-invalid').check(manifest);
}

/** Throws `format-range` when a manifest that was read breaks a rule. */
export function checkManifestRead(manifest: Manifest): void {
  new Rules('format-range').check(manifest);
}

const HIGH = /[\ud800-\uffff]/;

/** The order of configuration keys: that of their UTF-8 bytes, which is that of their code points. */
export function compareKeys(a: string, b: string): number {
  // Up to the surrogates code units are in the order of code points.
  if (!HIGH.test(a) && !HIGH.test(b)) return a < b ? -1 : Number(a > b);
  const left = Array.from(a, (character) => character.codePointAt(0)!);
  const right = Array.from(b, (character) => character.codePointAt(0)!);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return left[i]! - right[i]!;
  }
  return left.length - right.length;
}

class Rules {
  readonly #code: ErrorCode;

  constructor(code: 'argument-invalid' | 'format-range') {
    this.#code = code;
  }

  check(manifest: Manifest): void {
    this.#text('name', manifest.name, 0, LIMITS.maxNameBytes);
    this.#text('label', manifest.label, 0, LIMITS.maxLabelBytes);
    this.#count('createdAtMs', manifest.createdAtMs, Number.MAX_SAFE_INTEGER);
    if (manifest.parent !== null) {
      this.#digest('parent', manifest.parent);
      if (isZeroDigest(manifest.parent)) this.#refuse('parent', 'zeros');
    }
    this.#machine(manifest.machine);
    this.#count('regions.length', manifest.regions.length, LIMITS.maxRegions);
    for (const [index, region] of manifest.regions.entries()) {
      const field = `regions[${index}]`;
      this.#table(field, region);
      if (region.guestAddress === null) continue;
      const last = Number.MAX_SAFE_INTEGER - region.sizeBytes;
      this.#count(`${field}.guestAddress`, region.guestAddress, last);
    }
    this.#names('regions', manifest.regions);
    this.#count('devices.length', manifest.devices.length, LIMITS.maxDeviceRecords);
    for (const [index, device] of manifest.devices.entries()) {
      this.#table(`devices[${index}]`, device);
      this.#count(`devices[${index}].version`, device.version, 2 ** 32 - 1);
    }
    this.#names('devices', manifest.devices);
    for (const [name, value] of Object.entries(manifest.statistics)) {
      if (name !== 'pauseMs') this.#count(`statistics.${name}`, value, Number.MAX_SAFE_INTEGER);
      else if (!Number.isFinite(value) || value < 0) this.#refuse('statistics.pauseMs', value);
    }
  }

  #machine(machine: ManifestMachine): void {
    this.#text('machine.kind', machine.kind, 1, LIMITS.maxNameBytes);
    this.#text('machine.version', machine.version, 0, LIMITS.maxNameBytes);
    this.#text('machine.architecture', machine.architecture, 0, LIMITS.maxNameBytes);
    const entries = Object.entries(machine.config);
    this.#count('machine.config.length', entries.length, LIMITS.maxConfigEntries);
    for (const [key, value] of entries) {
      this.#text('machine.config key', key, 1, LIMITS.maxNameBytes);
      const field = `machine.config.${key}`;
      if (typeof value === 'string') this.#text(field, value, 0, LIMITS.maxConfigTextBytes);
      else if (typeof value === 'number' && !Number.isFinite(value)) this.#refuse(field, value);
      else if (typeof value !== 'number' && typeof value !== 'boolean') this.#refuse(field, typeof value);
    }
  }

  #table(field: string, table: Table): void {
    this.#count(`${field}.sizeBytes`, table.sizeBytes, LIMITS.maxTableBytes);
    const isPages = Number.isInteger(table.pageBytes) && isPageBytes(table.pageBytes);
    if (!isPages) this.#refuse(`${field}.pageBytes`, table.pageBytes);
    this.#digest(`${field}.root`, table.root);
    if (table.sizeBytes === 0 && !isZeroDigest(table.root)) this.#refuse(`${field}.root`, 'names no page');
  }

  #names(field: string, list: readonly { readonly name: string }[]): void {
    const seen = new Set<string>();
    for (const [index, { name }] of list.entries()) {
      this.#text(`${field}[${index}].name`, name, 1, LIMITS.maxNameBytes);
      if (seen.has(name)) this.#refuse(`${field}[${index}].name`, name);
      seen.add(name);
    }
  }

  #text(field: string, text: string, minBytes: number, maxBytes: number): void {
    // A lone surrogate has no UTF-8; an encoder would silently put U+FFFD in its place.
    if (/\p{Surrogate}/u.test(text)) this.#refuse(field, 'lone surrogate');
    const lengthBytes = new TextEncoder().encode(text).length;
    if (lengthBytes < minBytes || lengthBytes > maxBytes) this.#refuse(field, `${lengthBytes} bytes`);
  }

  #count(field: string, value: number, max: number): void {
    if (!Number.isSafeInteger(value) || value < 0 || value > max) this.#refuse(field, value);
  }

  #digest(field: string, digest: Uint8Array): void {
    if (digest.length !== DIGEST_BYTES) this.#refuse(field, `${digest.length} bytes`);
  }

  #refuse(name: string, value: string | number): never {
    throw new VitrineError(this.#code, { name, value });
  }
}
