// Moments of a past that have a name, to be set, gone to and forgotten; and the ends of other futures, which were left when the machine
// went on from a moment.

import { button, choice, element, field, form, setOptions } from './dom.ts';

/** A moment to choose, by what it is called. */
export interface NamedMoment {
  readonly id: string;
  readonly title: string;
}

export interface MomentChoicesOptions {
  /** Takes the machine to a moment. */
  readonly onChoose: (id: string) => void;
  /** Names the moment where the machine is; empties the field where that was done. The text may be empty. */
  readonly onBookmark: (text: string) => Promise<boolean>;
  readonly onForget: (id: string) => void;
}

export class MomentChoices {
  readonly element: HTMLElement;
  readonly #label = element('input', {
    attributes: { type: 'text', maxlength: 200, placeholder: 'what happened?' },
  });
  readonly #set = element('button', { attributes: { type: 'submit' } }, 'Bookmark this moment');
  readonly #bookmarks: HTMLSelectElement;
  readonly #forget: HTMLButtonElement;
  readonly #futures: HTMLSelectElement;
  readonly #bookmarksField: HTMLElement;
  readonly #futuresField: HTMLElement;
  #mayBookmark = true;

  constructor({ onChoose, onBookmark, onForget }: MomentChoicesOptions) {
    // The first option of a list is none.
    const choose = (id: string): void => {
      if (id !== '') onChoose(id);
    };
    this.#bookmarks = choice([], choose);
    this.#futures = choice([], choose);
    this.#forget = button('Forget it', () => onForget(this.#bookmarks.value), { className: 'quiet' });
    this.#bookmarksField = element(
      'div',
      { className: 'toolbar' },
      field('Bookmarks', this.#bookmarks),
      this.#forget,
    );
    this.#futuresField = field('Other futures', this.#futures);
    const submit = async (): Promise<void> => {
      if (await onBookmark(this.#label.value.trim())) this.#label.value = '';
    };
    this.element = element(
      'div',
      { className: 'moment-choices' },
      form('bookmark', () => void submit(), field('Bookmark', this.#label, 'field grow'), this.#set),
      element('div', { className: 'choices' }, this.#bookmarksField, this.#futuresField),
    );
  }

  /** What may be done: set and forget bookmarks, and go to moments. */
  allow({ bookmark, go }: { readonly bookmark: boolean; readonly go: boolean }): void {
    this.#mayBookmark = bookmark;
    this.#label.disabled = !bookmark;
    this.#set.disabled = !bookmark;
    this.#bookmarks.disabled = !go;
    this.#futures.disabled = !go;
    this.#forget.disabled = !bookmark || this.#bookmarks.value === '';
  }

  /** Shows them; `chosen` is where the machine is. */
  show(bookmarks: readonly NamedMoment[], futures: readonly NamedMoment[], chosen: string | undefined): void {
    this.#bookmarksField.hidden = bookmarks.length === 0;
    fill(this.#bookmarks, bookmarks, chosen);
    this.#forget.disabled = !this.#mayBookmark || this.#bookmarks.value === '';
    this.#futuresField.hidden = futures.length === 0;
    fill(this.#futures, futures, undefined);
  }
}

/** Options for moments, with one in front that is none of them. */
function fill(select: HTMLSelectElement, moments: readonly NamedMoment[], chosen: string | undefined): void {
  const isSame =
    select.options.length === moments.length + 1 &&
    moments.every(({ id }, index) => select.options[index + 1]?.value === id);
  // A list that is open must not be rebuilt under the pointer.
  if (!isSame) {
    const options = moments.map(({ id, title }) => ({ value: id, title }));
    setOptions(select, [{ value: '', title: 'choose …' }, ...options]);
  }
  select.value = moments.some(({ id }) => id === chosen) ? (chosen ?? '') : '';
}
