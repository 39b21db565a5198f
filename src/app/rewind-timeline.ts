// The timeline as a picture: a stroke a point, so that one sees where history is dense, a flag a bookmark, and where the
// machine is.

import type { RewindPoint } from '../rewind/rewind-report.ts';

const HEIGHT = 28;
const FLAG = 6;

/** Draws the points of a timeline, oldest on the left. */
export function drawTimeline(canvas: HTMLCanvasElement, line: readonly RewindPoint[]): void {
  const scale = Math.min(2, Math.ceil(window.devicePixelRatio));
  const width = canvas.clientWidth || 320;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  const context = canvas.getContext('2d');
  const [first, last] = [line[0], line.at(-1)];
  if (context === null || first === undefined || last === undefined) return;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const x = (point: RewindPoint): number =>
    FLAG + ((width - 2 * FLAG) * (point.atMs - first.atMs)) / Math.max(1, last.atMs - first.atMs);
  context.fillStyle = '#5d7390';
  for (const point of line) context.fillRect(x(point), 10, 1, HEIGHT - 12);
  context.fillStyle = '#ffd479';
  for (const point of line) {
    if (point.label === null) continue;
    context.beginPath();
    context.moveTo(x(point), 10);
    context.lineTo(x(point) - FLAG, 1);
    context.lineTo(x(point) + FLAG, 1);
    context.fill();
    context.fillRect(x(point) - 0.5, 8, 2, HEIGHT - 10);
  }
  const head = line.find(({ isHead }) => isHead) ?? last;
  context.fillStyle = '#7fd1c7';
  context.fillRect(x(head) - 1, 4, 3, HEIGHT - 4);
}
