// Numbers as people write and read them on a command line.

import { UsageError } from './command.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `930 KiB`, `17 MiB`. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${UNITS[unit]}`;
}

/** `8.6 ms`, `2.4 s`. */
export function durationText(ms: number): string {
  return ms < 1_000 ? `${Number(ms.toFixed(1))} ms` : `${Number((ms / 1_000).toFixed(1))} s`;
}

/** `1 page`, `12 pages`. */
export function countText(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`;
}

/** `2026-11-21 17:40:03`, in the time of this place. */
export function timeText(ms: number): string {
  const date = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `4096`, `0x1000`, `4K`, `16M`. Throws `UsageError`. */
export function readNumber(text: string, what: string): number {
  const match = /^(0x[0-9a-f]+|\d+)([KMGT]?)(?:i?B)?$/i.exec(text);
  const isHex = match?.[1]?.toLowerCase().startsWith('0x') === true;
  const factor = 1024 ** ' KMGT'.indexOf(match?.[2]?.toUpperCase() || ' ');
  const value = Number(match?.[1]) * factor;
  if (match === null || (isHex && match[2] !== '') || !Number.isSafeInteger(value)) {
    throw new UsageError(`${what} wants a number as 4096, 0x1000 or 4K, not "${text}"`);
  }
  return value;
}
