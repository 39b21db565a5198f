// Whether text can be read in both looks: each colour of page.css on each ground that it stands on, and what is drawn by script.
// The measure is WCAG 2's contrast ratio; AA asks 4.5 of text, 3 of what is no text but tells something.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Look } from '../../src/app/look.ts';
import { MAP_PALETTES } from '../../src/app/page-map.ts';
import { LINE_PALETTES } from '../../src/app/rewind-timeline.ts';
import { TERMINAL_THEMES } from '../../src/app/terminal-view.ts';

const LOOKS = ['light', 'dark'] as const satisfies readonly Look[];
const TEXT = 4.5;
const SHAPE = 3;

const sheet = readFileSync(new URL('../../src/app/page.css', import.meta.url), 'utf8');
const root = /:root \{[^}]*\}/.exec(sheet)![0];
const rules = sheet.replace(root, '').replaceAll(/\/\*[\s\S]*?\*\//g, '');

/** What a colour of text stands on. A colour that a rule uses and that is not here fails a test below. */
const GROUNDS: Readonly<Record<string, readonly string[]>> = {
  text: ['ground', 'card', 'raised', 'well'],
  soft: ['ground', 'card', 'raised', 'well'],
  faint: ['card', 'raised', 'well'],
  accent: ['ground', 'card', 'raised'],
  'accent-ink': ['accent'],
  danger: ['ground', 'card'],
  'danger-ink': ['danger-ground'],
  marked: ['marked-ground'],
};

/** Borders and rings that say where one is. */
const SHAPES: Readonly<Record<string, readonly string[]>> = {
  accent: ['well', 'ground', 'card', 'raised'],
  danger: ['danger-ground', 'raised'],
};

it('every colour of text can be read on its grounds', () => {
  for (const look of LOOKS) {
    for (const [ink, grounds] of Object.entries(GROUNDS)) {
      for (const ground of grounds) expectContrast(look, `${ink} on ${ground}`, ink, ground, TEXT);
    }
    for (const [shape, grounds] of Object.entries(SHAPES)) {
      for (const ground of grounds) expectContrast(look, `${shape} beside ${ground}`, shape, ground, SHAPE);
    }
    // Marked bytes that are zero have the colour of marked ones, since their rule comes later.
    expect(rules.indexOf('.marked {')).toBeGreaterThan(rules.indexOf('.zero {'));
  }
});

it('rules take colours from the tokens, so that each has two looks', () => {
  const inks = [...rules.matchAll(/(?<![\w-])color: ([^;]+);/g)].map((match) => match[1]!);
  expect(inks.length).toBeGreaterThan(10);
  for (const ink of inks) {
    const token = /^var\(--([\w-]+)\)$/.exec(ink)?.[1];
    expect(Object.keys(GROUNDS), `color: ${ink}`).toContain(token);
  }
  // Pictures of machines stand on what a screen is without one.
  const literal = [...rules.matchAll(/[\w-]+: [^;{}]*(?:#[0-9a-f]{3,8}\b|rgb\()[^;]*;/g)].map(([all]) => all);
  expect(literal).toEqual(['background: #000;', 'background: #0b0e14;']);
});

it('what is drawn by script can be seen on its ground', () => {
  for (const look of LOOKS) {
    const theme = TERMINAL_THEMES[look];
    expect(theme.background).toBe(tokenOf(look, 'well'));
    expect(contrast(theme.foreground!, theme.background!), `${look} terminal`).toBeGreaterThan(TEXT);
    expect(contrast(theme.cursor!, theme.background!), `${look} cursor`).toBeGreaterThan(SHAPE);
    for (const [name, colour] of Object.entries(LINE_PALETTES[look])) {
      expect(contrast(colour, tokenOf(look, 'card')), `${look} ${name}`).toBeGreaterThan(SHAPE);
    }
    const { cursor, equal, shades } = MAP_PALETTES[look];
    const ofShades = shades.map((shade) => contrast(shade, tokenOf(look, 'well')));
    for (const ratio of ofShades) expect(ratio, `${look} map`).toBeGreaterThan(SHAPE);
    expect(ofShades, `${look} map: more changed is further from the ground`).toEqual(
      ofShades.toSorted((a, b) => a - b),
    );
    for (const shade of shades) expect(contrast(shade, equal), `${look} ${shade}`).toBeGreaterThan(2);
    expect(contrast(cursor, tokenOf(look, 'well')), `${look} map cursor`).toBeGreaterThan(SHAPE);
  }
});

function expectContrast(look: Look, what: string, ink: string, ground: string, least: number): void {
  const ratio = contrast(tokenOf(look, ink), tokenOf(look, ground));
  expect(ratio, `${look}: ${what}`).toBeGreaterThanOrEqual(least);
}

/** A token's colour as `#rrggbb`. */
function tokenOf(look: Look, name: string): string {
  const found = new RegExp(`--${name}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\);`).exec(root);
  if (found === null) throw new Error(`page.css has no --${name} with two looks`);
  return look === 'light' ? found[1]! : found[2]!;
}

/** WCAG 2's contrast ratio, 1 to 21. */
function contrast(a: string, b: string): number {
  const [dark, bright] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (bright + 0.05) / (dark + 0.05);
}

/** Relative luminance of an sRGB colour. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
