// The keyboard's place while something is done: a control that is greyed out or taken away meanwhile loses it, and the browser
// then begins at the page's top again.

import { nextPaint } from './turns.ts';

const FOCUSABLE = 'button, input, select, [tabindex]';

/**
 * Remembers what has the keyboard now. What it returns gives it back, if nothing has it by then: to the same control, or, where that
 * is gone or greyed out, to the first one of the same card that can be used.
 */
export function keepFocus(): () => Promise<void> {
  const used = document.activeElement;
  const card = used?.closest('.card, .machines');
  return async () => {
    if (!(used instanceof HTMLElement) || used === document.body) return;
    // Greyed out or not is decided by all who hear that it is done.
    await nextPaint();
    const now = document.activeElement;
    // What is greyed out or hidden has it until the next picture, which may be late.
    if (now !== null && now !== document.body && now !== used) return;
    const others = card?.querySelectorAll<HTMLElement>(FOCUSABLE) ?? [];
    const place = [used, ...chosenFirst(others)].find(isUsable);
    place?.focus({ preventScroll: true });
  };
}

/** What is chosen in a list stands for all of it. */
function chosenFirst(controls: Iterable<HTMLElement>): HTMLElement[] {
  const all = [...controls];
  const isChosen = (one: HTMLElement): boolean => one.getAttribute('aria-selected') === 'true';
  return [...all.filter(isChosen), ...all.filter((one) => one.tabIndex >= 0 && !isChosen(one))];
}

function isUsable(control: HTMLElement): boolean {
  return control.isConnected && control.checkVisibility() && !control.matches(':disabled');
}
