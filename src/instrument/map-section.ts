// Where the map lies, written into the module itself: a custom section `vitrine.map` with JSON. So a module that was
// instrumented long before it is loaded, by a build, can be read without a second file.

import { concatBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { MapLayout } from './map-layout.ts';
import { nameBytes, readSections, SECTION, type Section, SectionReader } from './module-sections.ts';

const NAME = 'vitrine.map';
/** Raised with every change of what map and code do together. */
const VERSION = 1;

/** The section, to stand at the end. */
export function mapSection(layout: MapLayout): Section {
  const json = new TextEncoder().encode(JSON.stringify({ version: VERSION, layout }));
  return { id: SECTION.custom, bytes: concatBytes([nameBytes(NAME), json]) };
}

/**
 * Where the map of an instrumented module lies; undefined for a module that has none.
 *
 * Throws `argument-invalid` when the bytes are no module, `unsupported` for a map of another version.
 */
export function mapOf(module: Uint8Array): MapLayout | undefined {
  for (const { id, bytes } of readSections(module)) {
    if (id !== SECTION.custom) continue;
    const reader = new SectionReader(bytes);
    if (reader.name() !== NAME) continue;
    return layoutIn(bytes.slice(reader.at));
  }
  return undefined;
}

function layoutIn(json: Uint8Array<ArrayBuffer>): MapLayout {
  let found: { version?: unknown; layout?: unknown };
  try {
    found = JSON.parse(new TextDecoder().decode(json));
  } catch (cause) {
    throw new VitrineError(
      'argument-invalid',
      { name: 'module', reason: `its ${NAME} is no JSON` },
      { cause },
    );
  }
  if (found.version !== VERSION) {
    throw new VitrineError('unsupported', { missing: `${NAME} of version ${String(found.version)}` });
  }
  const layout = found.layout as MapLayout;
  const isWhole =
    (layout.kind === 'marks' || layout.kind === 'barriers') &&
    [layout.pageBytes, layout.extraPages, layout.mapBytes, layout.maxPages].every(Number.isSafeInteger);
  if (!isWhole)
    throw new VitrineError('argument-invalid', { name: 'module', reason: `its ${NAME} is damaged` });
  return layout;
}
