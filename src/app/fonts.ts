// The page's fonts, each used once before it is needed: at the first use of a face, size and weight Chromium asks another
// process and waits, for 1 ms at best and for 300 when all cores are busy. `page.css` keeps them few.

import { element } from './dom.ts';
import { nextPaint } from './turns.ts';

/** Classes of `page.css`. The header has used the plain ones. */
const SAMPLES = ['bold', 'small', 'small bold', 'mono', 'mono bold'] as const;
/** What a terminal measures beside those of the page. */
const SLANTED = ['mono italic', 'mono bold italic'] as const;

/** Has the platform load them, one a frame. */
export function loadFonts(): Promise<void> {
  return loadSamples(SAMPLES);
}

/**
 * Has the platform load what a terminal would wait for in the one task in which it opens: slanted letters, and those of a canvas,
 * which has a font of its own before it is given one. The terminal library measures on one where there is such (Chromium, 2026).
 */
export async function loadTerminalFonts(font: string): Promise<void> {
  await loadSamples(SLANTED);
  if (typeof OffscreenCanvas === 'undefined') return;
  const context = new OffscreenCanvas(1, 1).getContext('2d');
  if (context === null) return;
  await nextPaint();
  context.measureText('W');
  await nextPaint();
  context.font = font;
  context.measureText('W');
  await nextPaint();
}

async function loadSamples(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const sample = element(
      'span',
      { className: `font-sample ${name}`, attributes: { 'aria-hidden': 'true' } },
      'W',
    );
    document.body.append(sample);
    await nextPaint();
    sample.remove();
  }
}
