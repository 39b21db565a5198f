// The page's look: dark, light, or as the system has it. It is what the meta element `color-scheme` says; the colours of page.css
// follow that by `light-dark()`. Before the first paint `public/look.js` puts the remembered choice there, so that nothing flashes.
//
// What is drawn by script (terminals, canvases) has a palette for each look and is told when it changes.

import { choice, element, field } from './dom.ts';

export type Look = 'dark' | 'light';
export type LookChoice = Look | 'system';

/** Whoever draws by itself. */
export interface LookFollower {
  /** Draws anew in the look that holds now. */
  showLook(look: Look): void;
}

/** Where the choice is remembered; `public/look.js` reads it too. */
const REMEMBERED = 'vitrine-look';
const TITLES = [
  { value: 'system', title: 'as the system' },
  { value: 'dark', title: 'dark' },
  { value: 'light', title: 'light' },
] as const satisfies readonly { readonly value: LookChoice; readonly title: string }[];

/** Not held: maps and terminals come and go with what they show. */
const followers = new Set<WeakRef<LookFollower>>();

/** What was chosen; `system` where nothing was. */
export function chosenLook(): LookChoice {
  const content = schemeMeta()?.content;
  return content === 'dark' || content === 'light' ? content : 'system';
}

/** The look that holds now. */
export function currentLook(): Look {
  const chosen = chosenLook();
  if (chosen !== 'system') return chosen;
  return systemIsDark().matches ? 'dark' : 'light';
}

/** Tells `follower` of every other look, for as long as anybody else holds it. */
export function followLook(follower: LookFollower): void {
  followers.add(new WeakRef(follower));
}

/** The control: a choice that holds at once, in the other tabs of this page too, and when it is opened again. */
export function lookControl(): HTMLElement {
  const control = choice(TITLES, (chosen) => {
    remember(chosen);
    show(chosen);
  });
  control.value = chosenLook();
  systemIsDark().addEventListener('change', tell);
  window.addEventListener('storage', ({ key, newValue }) => {
    if (key !== REMEMBERED && key !== null) return;
    show(newValue === 'dark' || newValue === 'light' ? newValue : 'system');
    control.value = chosenLook();
  });
  return element('div', { className: 'look' }, field('Look', control, 'check'));
}

function systemIsDark(): MediaQueryList {
  return matchMedia('(prefers-color-scheme: dark)');
}

function show(chosen: LookChoice): void {
  const meta = schemeMeta();
  if (meta !== null) meta.content = chosen === 'system' ? 'dark light' : chosen;
  tell();
}

function tell(): void {
  for (const reference of followers) {
    const follower = reference.deref();
    if (follower === undefined) followers.delete(reference);
    else follower.showLook(currentLook());
  }
}

/** Where the browser keeps nothing, the choice holds until the page is closed. */
function remember(chosen: LookChoice): void {
  try {
    if (chosen === 'system') localStorage.removeItem(REMEMBERED);
    else localStorage.setItem(REMEMBERED, chosen);
  } catch {
    // Storage that is forbidden or full.
  }
}

function schemeMeta(): HTMLMetaElement | null {
  return document.querySelector<HTMLMetaElement>('meta[name="color-scheme"]');
}
