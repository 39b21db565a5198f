// The page's fonts, each used once before it is needed: at the first use of a face, size and weight Chromium asks another
// process and waits, for 1 ms at best and for 300 when all cores are busy. `page.css` keeps them few.

import { element } from './dom.ts';
import { nextPaint } from './turns.ts';

/** Classes of `page.css`. The header has used the plain ones. */
const SAMPLES = ['bold', 'small', 'small bold', 'mono', 'mono bold'] as const;

/** Has the platform load them, one a frame. */
export async function loadFonts(): Promise<void> {
  for (const name of SAMPLES) {
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
