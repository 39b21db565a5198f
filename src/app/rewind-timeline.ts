// A past as a picture: a stroke a moment, so that one sees where history is dense, a flag a bookmark, and where the machine is.

import { currentLook, type Look } from './look.ts';

/** A moment that a machine can be taken to: of a page's machine or of a host's. */
export interface Moment {
  readonly id: string;
  readonly atMs: number;
  /** The bookmark's label. */
  readonly label: string | null;
  /** Whether the machine is there, or goes on from there. */
  readonly isHead: boolean;
}

const HEIGHT = 28;
const FLAG = 6;

/** What a timeline is drawn with; its ground is `--card` of page.css. */
export const LINE_PALETTES: Readonly<Record<Look, Readonly<Record<'moment' | 'bookmark' | 'head', string>>>> =
  {
    dark: { moment: '#7088a8', bookmark: '#ffd479', head: '#7fd1c7' },
    light: { moment: '#5d7390', bookmark: '#a05a00', head: '#00665b' },
  };

/** Draws the moments of a line, oldest on the left. */
export function drawTimeline(canvas: HTMLCanvasElement, line: readonly Moment[]): void {
  const scale = Math.min(2, Math.ceil(window.devicePixelRatio));
  const width = canvas.clientWidth || 320;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  const context = canvas.getContext('2d');
  const [first, last] = [line[0], line.at(-1)];
  if (context === null || first === undefined || last === undefined) return;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const x = ({ atMs }: Moment): number =>
    FLAG + ((width - 2 * FLAG) * (atMs - first.atMs)) / Math.max(1, last.atMs - first.atMs);
  const palette = LINE_PALETTES[currentLook()];
  context.fillStyle = palette.moment;
  for (const moment of line) context.fillRect(x(moment), 10, 1, HEIGHT - 12);
  context.fillStyle = palette.bookmark;
  for (const moment of line) {
    if (moment.label === null) continue;
    context.beginPath();
    context.moveTo(x(moment), 10);
    context.lineTo(x(moment) - FLAG, 1);
    context.lineTo(x(moment) + FLAG, 1);
    context.fill();
    context.fillRect(x(moment) - 0.5, 8, 2, HEIGHT - 10);
  }
  const head = line.find(({ isHead }) => isHead) ?? last;
  context.fillStyle = palette.head;
  context.fillRect(x(head) - 1, 4, 3, HEIGHT - 4);
}
