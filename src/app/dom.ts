// Elements in one expression. Text goes to text nodes only: nothing here or in the page parses markup, since labels and
// guest output are written by others.

type Listeners = {
  readonly [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void;
};

/** What an element is made with; everything is optional. */
export interface Shape {
  readonly className?: string;
  readonly id?: string;
  readonly title?: string;
  /** Attributes; `false` and undefined ones are left out, `true` ones are empty. */
  readonly attributes?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly on?: Listeners;
}

/** An element with its children. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  shape: Shape = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (shape.className !== undefined) made.className = shape.className;
  if (shape.id !== undefined) made.id = shape.id;
  if (shape.title !== undefined) made.title = shape.title;
  for (const [name, value] of Object.entries(shape.attributes ?? {})) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : String(value));
  }
  for (const [name, listener] of Object.entries(shape.on ?? {})) {
    made.addEventListener(name, listener as EventListener);
  }
  made.append(...children);
  return made;
}

/** A button that is not a form's. */
export function button(label: string, onClick: () => void, shape: Shape = {}): HTMLButtonElement {
  const made = element('button', { ...shape, on: { ...shape.on, click: onClick } }, label);
  made.type = 'button';
  return made;
}

/** A form whose Enter key and submit button do `onSubmit`; nothing is sent anywhere. */
export function form(
  className: string,
  onSubmit: () => void,
  ...children: readonly (Node | string)[]
): HTMLFormElement {
  const submit = (event: Event): void => {
    event.preventDefault();
    onSubmit();
  };
  return element('form', { className, on: { submit } }, ...children);
}

/** Scrolls to what was asked for, where not all of it is in view; if it is too high for that, to its beginning. */
export function reveal(shown: HTMLElement): void {
  const { top, bottom } = shown.getBoundingClientRect();
  if (top >= 0 && bottom <= window.innerHeight) return;
  shown.scrollIntoView({ block: bottom - top > window.innerHeight ? 'start' : 'nearest' });
}

let fields = 0;

/** A labelled control. The label stands beside it and not around it, so that the label is not also what is chosen. */
export function field(label: string, control: HTMLElement, className = 'field'): HTMLElement {
  control.id = `field-${++fields}`;
  return element('div', { className }, element('label', { attributes: { for: control.id } }, label), control);
}

/** A choice of values with their titles. */
export function choice<Value extends string>(
  options: readonly { readonly value: Value; readonly title: string }[],
  onChange: (value: Value) => void = () => {},
): HTMLSelectElement {
  const made = element('select');
  setOptions(made, options);
  made.addEventListener('change', () => onChange(made.value as Value));
  return made;
}

/** Replaces the options of a select and keeps its value where that is still offered. */
export function setOptions(
  select: HTMLSelectElement,
  options: readonly { readonly value: string; readonly title: string }[],
): void {
  const kept = select.value;
  select.replaceChildren(
    ...options.map(({ value, title }) => element('option', { attributes: { value } }, title)),
  );
  if (options.some(({ value }) => value === kept)) select.value = kept;
}
