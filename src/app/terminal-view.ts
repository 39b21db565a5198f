// A machine's serial line as a terminal. The terminal's code is loaded when the first one is shown: it is a third of the
// page, and a guest runs without it. Shift+Tab is left to the page, so that the keyboard cannot be caught here.

import '@xterm/xterm/css/xterm.css';
import type { ITheme, Terminal } from '@xterm/xterm';
import { element } from './dom.ts';
import { loadTerminalFonts } from './fonts.ts';
import { currentLook, followLook, type Look, type LookFollower } from './look.ts';
import { nextPaint } from './turns.ts';

const FONT_SIZE = 13;
const FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
const MAX_COLUMNS = 120;
const MIN_COLUMNS = 20;
/** Grounds are `--well` of page.css. The colours a guest asks for are the terminal's own, darkened or lightened until they can be read. */
export const TERMINAL_THEMES: Readonly<Record<Look, ITheme>> = {
  dark: { background: '#0b0e14', foreground: '#d5d9e0', cursor: '#7fd1c7' },
  light: {
    background: '#f7f9fc',
    foreground: '#10151f',
    cursor: '#00665b',
    cursorAccent: '#f7f9fc',
    selectionBackground: '#b3d4f5',
  },
};
/** Of text to its ground, as WCAG's AA has it. */
const CONTRAST = 4.5;

/** What a terminal shows and types into: a machine of this page, or the console of one far away. */
export interface TerminalPeer {
  readonly name: string;
  write(text: string): void;
  /** What was said so far goes to `listener`, and all that is said from now on. */
  showOutput(listener: (text: string) => void): void;
}

export class TerminalView implements LookFollower {
  readonly element: HTMLElement;
  readonly #rows: number;
  #terminal: Terminal | null = null;

  constructor(machine: TerminalPeer, rows: number) {
    this.#rows = rows;
    this.element = element('div', {
      className: 'terminal-pane',
      attributes: { role: 'group', 'aria-label': `Terminal of ${machine.name}` },
    });
    // Kept until the terminal is there; the machine keeps its own backlog.
    this.element.style.minHeight = `${rows * 17}px`;
  }

  /** Loads the terminal and connects it. Throws when its code cannot be loaded. */
  async connect(machine: TerminalPeer): Promise<void> {
    // A part a frame: in one go it held the page for 60 to 130 ms.
    const { Terminal } = await import('@xterm/xterm');
    await nextPaint();
    await loadTerminalFonts(`${FONT_SIZE}px ${FONT}`);
    const terminal = new Terminal({
      rows: this.#rows,
      cols: this.#columns() ?? 80,
      fontSize: FONT_SIZE,
      fontFamily: FONT,
      scrollback: 5000,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      minimumContrastRatio: CONTRAST,
      theme: TERMINAL_THEMES[currentLook()],
    });
    terminal.attachCustomKeyEventHandler((event) => !(event.key === 'Tab' && event.shiftKey));
    terminal.onData((text) => machine.write(text));
    await nextPaint();
    terminal.open(this.element);
    terminal.textarea?.setAttribute('aria-label', `Terminal of ${machine.name}; Shift+Tab leaves it`);
    this.#terminal = terminal;
    followLook(this);
    // It may have changed while the terminal was made.
    this.showLook(currentLook());
    await nextPaint();
    machine.showOutput((text) => terminal.write(text));
    new ResizeObserver(() => this.#fit()).observe(this.element);
  }

  showLook(look: Look): void {
    if (this.#terminal !== null) this.#terminal.options.theme = TERMINAL_THEMES[look];
  }

  focus(): void {
    this.#terminal?.focus();
  }

  /** The lines that hold something, as text: for tests and for copying. */
  get text(): string {
    const buffer = this.#terminal?.buffer.active;
    if (buffer === undefined) return '';
    const lines: string[] = [];
    for (let at = 0; at < buffer.length; at++) lines.push(buffer.getLine(at)?.translateToString(true) ?? '');
    return lines.join('\n').trimEnd();
  }

  /** As many columns as there is room for. A hidden terminal stays as it is. */
  #fit(): void {
    const columns = this.#columns();
    if (columns !== undefined) this.#terminal?.resize(columns, this.#rows);
  }

  /** How many columns there is room for; undefined while it is hidden. */
  #columns(): number | undefined {
    const width = this.element.clientWidth - 20;
    if (width <= 0) return undefined;
    return Math.max(MIN_COLUMNS, Math.min(MAX_COLUMNS, Math.floor(width / characterWidth())));
  }
}

let measuredWidth: number | undefined;

function characterWidth(): number {
  if (measuredWidth === undefined) {
    const context = document.createElement('canvas').getContext('2d');
    if (context === null) return FONT_SIZE * 0.6;
    context.font = `${FONT_SIZE}px ${FONT}`;
    measuredWidth = context.measureText('W').width;
  }
  return measuredWidth;
}
