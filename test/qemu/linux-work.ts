// What a Linux does in tests so that nothing of it may be lost: it counts in its memory, writes numbered sectors to its disk and pings over its
// network card, and says each number on its serial line. It runs wherever Node does.

import type { SerialLine } from '../../src/host/qemu/serial-line.ts';

/** Writes sector i, reads it and the one before past the cache, and looks that the one behind was never written. */
export const WRITE_LOOP = [
  'i=0; while :; do i=$((i+1)); n=$(printf %08d $i)',
  'echo $n | dd of=/dev/vda bs=512 seek=$i conv=sync,fsync 2>/dev/null',
  'r=$(dd if=/dev/vda bs=512 skip=$i count=1 iflag=direct 2>/dev/null | head -c 8)',
  'p=$(dd if=/dev/vda bs=512 skip=$((i-1)) count=1 iflag=direct 2>/dev/null | tr -d "\\0")',
  '[ $i = 1 ] || [ "$p" = "$(printf %08d $((i-1)))" ] || echo WRONG $i before $p',
  'z=$(dd if=/dev/vda bs=512 skip=$((i+1)) count=1 iflag=direct 2>/dev/null | tr -d "\\0")',
  '[ "$r" = "$n" ] && [ -z "$z" ] && echo wrote-$i. || echo WRONG $i read $r next $z; done &',
].join('; ');
const COUNT_LOOP = 'c=0; while :; do c=$((c+1)); echo "counted-$c."; usleep 20000; done &';
/** A ping whose answer was under way when the machine was saved is asked again: what is on the wire is in no snapshot. */
const PING_LOOP =
  'p=0; while :; do ping -c 1 -W 1 10.0.2.2 >/dev/null && p=$((p+1)) && echo "pinged-$p." || usleep 10000; done &';
/** All three, to be typed into its shell, whose network is up by then. */
export const WORK_LOOPS = `stty -echo; ${COUNT_LOOP} ${WRITE_LOOP} ${PING_LOOP}\n`;
export const NETWORK_UP = 'ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0';

const WORKS = ['counted', 'wrote', 'pinged'] as const;
/** The last number of each. */
export type Numbers = Record<(typeof WORKS)[number], number>;
export const NO_WORK: Numbers = { counted: 0, wrote: 0, pinged: 0 };

/** Characters of what was printed last that a fault shows. */
const SHOWN = 1000;

/** What a Linux says of its work. To be listening before the machine starts: what comes before is heard by nobody. */
export class WorkLine {
  #text = '';

  constructor(serial: SerialLine) {
    serial.onOutput((bytes) => {
      this.#text += Buffer.from(bytes).toString('latin1');
    });
  }

  /** Characters that came. */
  get length(): number {
    return this.#text.length;
  }

  get last(): Numbers {
    const [counted, wrote, pinged] = WORKS.map((work) => this.#numbers(work).at(-1) ?? 0);
    return { counted: counted!, wrote: wrote!, pinged: pinged! };
  }

  /** What was printed of a line that is not whole yet. */
  get unfinished(): string {
    return this.#text.slice(this.#text.lastIndexOf('\n') + 1);
  }

  /** It goes on from an instant at which so much of a line was printed; all else that came is of a time that was taken back. */
  goOnFrom(unfinished: string): void {
    this.#text = unfinished;
  }

  /** Whether it did `count` more of each than `from`. */
  isAhead(from: Numbers, count: number): boolean {
    const { last } = this;
    return WORKS.every((work) => last[work] >= from[work] + count);
  }

  /** What is wrong, and what was printed: it did the next ones after `from`, one after another, and no others. `none` where all is right. */
  fault(from: Numbers): string {
    const wrong = this.#wrong(from);
    return wrong === undefined ? 'none' : `${wrong} in ${JSON.stringify(this.#text.slice(-SHOWN))}`;
  }

  #wrong(from: Numbers): string | undefined {
    const wrong = /WRONG \d.*/.exec(this.#text)?.[0];
    if (wrong !== undefined) return wrong;
    for (const work of WORKS) {
      const numbers = this.#numbers(work);
      const at = numbers.findIndex((number, index) => number !== from[work] + 1 + index);
      if (at >= 0) return `${work} ${numbers[at]}, not ${from[work] + 1 + at}`;
    }
    return undefined;
  }

  #numbers(work: string): number[] {
    return [...this.#text.matchAll(new RegExp(`${work}-(\\d+)\\.\\r\\n`, 'g'))].map(([, number]) =>
      Number(number),
    );
  }
}
