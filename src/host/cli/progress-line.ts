// How far long work has come, on standard error: one line that is written over on a terminal, a line a phase elsewhere.

import type { Progress } from '../../base/work.ts';
import { bytesText } from './quantity.ts';

const BAR_WIDTH = 24;

export interface ProgressLine {
  onProgress(progress: Progress): void;
  /** Takes the line away; what was printed a phase stays. */
  end(): void;
}

/** `columns` is the terminal's width; undefined where there is none. */
export function openProgressLine(write: (text: string) => void, columns: number | undefined): ProgressLine {
  let phase = '';
  let isShown = false;
  return {
    onProgress(progress) {
      if (columns === undefined) {
        if (progress.phase !== phase) write(`${progress.phase} …\n`);
      } else {
        write(`\r\x1b[K${lineOf(progress).slice(0, columns - 1)}`);
        isShown = true;
      }
      phase = progress.phase;
    },
    end() {
      if (isShown) write('\r\x1b[K');
      isShown = false;
    },
  };
}

function lineOf({ phase, done, total, unit }: Progress): string {
  const count = (value: number): string => (unit === 'bytes' ? bytesText(value) : `${value}`);
  const what = unit === 'bytes' ? '' : ` ${unit}`;
  if (total === 0) return `${phase.padEnd(8)} ${count(done)}${what}`;
  const share = Math.min(1, done / total);
  const full = Math.round(share * BAR_WIDTH);
  const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}`;
  return `${phase.padEnd(8)} ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${count(done)} of ${count(total)}${what}`;
}
