// Numbers as people read them: sizes, durations, times, addresses.
//
// Without `toLocaleString`: its first call loads the platform's tables, 22 ms of the page's thread in Chromium 156.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1,234 B`, `12.3 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${formatNumber(Number(value.toFixed(digits)))} ${UNITS[unit]}`;
}

/** `1,234`, `0.5`: thousands parted by commas. */
export function formatNumber(value: number): string {
  const [whole = '', fraction] = String(value).split('.');
  const parted = whole.replaceAll(/(?<=\d)(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? parted : `${parted}.${fraction}`;
}

/** `0.4 ms`, `12 ms`, `3.1 s`. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** `42 s`, `3 min 12 s`, `2 h 5 min`: how much work something is. */
export function formatSpan(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `3.2 s`, `1 min 12 s`: how far back something is. */
export function formatBack(ms: number): string {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : formatSpan(ms);
}

/** The time of day, with the date before it when that is not today's. */
export function formatTime(wallMs: number): string {
  const date = new Date(wallMs);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
  if (date.toDateString() === new Date().toDateString()) return time;
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(twoDigits).join('-');
  return `${day} ${time}`;
}

/** `1,234 pages`, `1 page`. */
export function formatCount(count: number, one: string): string {
  return `${formatNumber(count)} ${one}${count === 1 ? '' : 's'}`;
}

/** Eight hexadecimal digits or more, no prefix. */
export function formatAddress(address: number): string {
  return address.toString(16).padStart(8, '0');
}

/** The address that a person typed, hexadecimal with or without `0x`; undefined when it is none. */
export function parseAddress(text: string): number | undefined {
  const digits = text.trim().replaceAll('_', '').replace(/^0x/i, '');
  if (!/^[0-9a-f]{1,13}$/i.test(digits)) return undefined;
  return Number.parseInt(digits, 16);
}

/** The beginning of an id, enough to tell snapshots apart. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** Bytes as people write them in hexadecimal, with or without spaces; undefined for anything else and for none. */
export function parseBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.replaceAll(/\s|0x/g, '');
  if (!/^([0-9a-f]{2})+$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
