// Recording what enters a machine, and running it again. Both begin in a pause, over the state that a snapshot taken in
// that pause holds:
//
//   await guest.pause();
//   const id = (await machine.save()).id;
//   const recording = recordInput(guest);
//   await guest.resume(); …                          // type, click, save, peek
//   await guest.pause();
//   const log = recording.stop();
//   …
//   await machine.restore(id);                       // here, or in another machine of the same description
//   const replayer = replayInput(guest, log);        // in a pause
//   await replayer.runTo('end');

import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import { crc32c } from '../../format/crc32c.ts';
import type { DeviceRecord, Guest } from '../guest.ts';
import { type Checksum, type Input, type InputLog, inputBytes, recordable } from '../input-log.ts';
import type { ReplayPosition } from '../replay.ts';
import type { V86Replay } from './replay-machine.ts';

/** Months of typing; a minute of a busy mouse is 100 KB. */
const DEFAULT_MAX_BYTES = 16 * MIB;

/** A guest whose input can be recorded: a v86 machine that was opened as `deterministic`. */
export type RecordableGuest = Guest & { readonly replay: V86Replay | undefined };

export interface RecordOptions {
  /** What the log may take; a recording that would take more ends. 16 MiB when left out. */
  readonly maxBytes?: number;
}

/** A recording under way. */
export class InputRecording {
  readonly #guest: Guest;
  readonly #replay: V86Replay;
  readonly #start: number;
  readonly #maxBytes: number;
  readonly #inputs: Input[] = [];
  #bytes = 0;
  #ended: string | undefined;

  /** Use `recordInput`. */
  constructor(guest: Guest, replay: V86Replay, start: number, maxBytes: number) {
    this.#guest = guest;
    this.#replay = replay;
    this.#start = start;
    this.#maxBytes = maxBytes;
    replay.onInput = (position, name, value) => this.#add(position, name, value);
    replay.onDisturbed = () => this.#fail('the machine was restored');
  }

  /** Why nothing is recorded any more; undefined while it is. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** Bytes of the log so far, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Ends the recording at the present of the paused guest.
   *
   * Throws `wrong-state` with the reason when it ended before: it was full, the guest was restored, something entered that
   * a log cannot hold; and unless paused.
   */
  stop(): InputLog {
    if (this.#ended !== undefined) {
      throw new VitrineError('wrong-state', { actual: this.#ended, required: 'a recording' });
    }
    const checksums = checksumsOf(this.#guest);
    const end = this.#replay.position;
    this.#fail('it was stopped');
    const { isCompiled } = this.#replay;
    return { isCompiled, start: this.#start, inputs: this.#inputs, end, checksums };
  }

  /** Ends it without a log. */
  end(): void {
    if (this.#ended === undefined) this.#fail('it was ended');
  }

  #add(position: ReplayPosition, name: string, value: unknown): void {
    const kept = recordable(value);
    if (kept === undefined) {
      this.#fail(`an input of ${name} cannot be recorded`);
      return;
    }
    const input = { ...position, name, value: kept.value };
    this.#bytes += inputBytes(input);
    if (this.#bytes > this.#maxBytes) this.#fail('the log is full');
    else this.#inputs.push(input);
  }

  #fail(reason: string): void {
    this.#ended = reason;
    this.#replay.onInput = undefined;
    this.#replay.onDisturbed = undefined;
  }
}

/** A log being run again. */
export class Replayer {
  readonly #guest: Guest;
  readonly #replay: V86Replay;
  readonly #log: InputLog;
  #next = 0;

  /** Use `replayInput`. */
  constructor(guest: Guest, replay: V86Replay, log: InputLog) {
    this.#guest = guest;
    this.#replay = replay;
    this.#log = log;
  }

  get position(): ReplayPosition {
    return this.#replay.position;
  }

  /** Where the log ends. */
  get end(): ReplayPosition {
    return this.#log.end;
  }

  /**
   * Runs the paused guest to `until` steps, or to the end of the log, where everything is compared with what was recorded.
   * Input enters as it did. Where it runs compiled code, or sleeps at that time, it ends at the end of the slice that holds the
   * place.
   *
   * Throws `replay-diverged` when the machine does something else, naming where and, at the end, the first region or device
   * record that differs; `argument-invalid` for a place before the present one (see `stepBack`), `aborted`.
   */
  async runTo(until: number | 'end', signal?: AbortSignal): Promise<ReplayPosition> {
    const { steps } = this.position;
    if (until !== 'end' && until < steps) {
      throw new VitrineError('argument-invalid', { name: 'until', value: until, least: steps });
    }
    const { end } = this.#log;
    this.#replay.beforeSlice = () => this.#enterDue();
    try {
      await this.#replay.runWhile(
        (position) => position.slices < end.slices && (until === 'end' || position.steps < until),
        signal,
        until === 'end' ? undefined : until,
      );
    } finally {
      this.#replay.beforeSlice = undefined;
    }
    if (this.position.slices >= end.slices && until === 'end') {
      // What entered after the last slice.
      this.#enterDue();
      this.#checkEnd();
    }
    return this.position;
  }

  /**
   * Goes back by `steps`: `restore` brings the guest to the snapshot at which recording began, from there it is run again.
   * Ends where `runTo` does; returns which place that is.
   */
  async stepBack(
    steps: number,
    restore: () => Promise<unknown>,
    signal?: AbortSignal,
  ): Promise<ReplayPosition> {
    const target = Math.max(0, this.position.steps - steps);
    await restore();
    this.#replay.begin();
    this.#next = 0;
    return this.runTo(target, signal);
  }

  #enterDue(): void {
    const { inputs } = this.#log;
    const here = this.position;
    for (let input = inputs[this.#next]; input !== undefined; input = inputs[this.#next]) {
      if (input.slices > here.slices) return;
      this.#require(input, here, `input ${this.#next}`);
      this.#next++;
      this.#replay.enterRecorded(input.name, input.value);
    }
  }

  #checkEnd(): void {
    const { end, checksums } = this.#log;
    this.#require(end, this.position, 'the end');
    const actual = new Map(checksumsOf(this.#guest).map(({ name, crc }) => [name, crc]));
    for (const { name, crc } of checksums) {
      if (actual.get(name) !== crc)
        diverged({ where: name, expected: crc, actual: actual.get(name) ?? 'none' });
    }
  }

  #require(expected: ReplayPosition, actual: ReplayPosition, where: string): void {
    if (expected.slices === actual.slices && expected.steps === actual.steps) return;
    diverged({
      where,
      expectedSteps: expected.steps,
      actualSteps: actual.steps,
      expectedSlices: expected.slices,
      actualSlices: actual.slices,
    });
  }
}

/** Begins the machine's time and a recording. In a pause. Throws `unsupported`, `wrong-state`, `argument-invalid`. */
export function recordInput(guest: RecordableGuest, options: RecordOptions = {}): InputRecording {
  const replay = replayOf(guest);
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
    throw new VitrineError('argument-invalid', { name: 'maxBytes', value: maxBytes });
  }
  if (replay.onInput !== undefined) {
    throw new VitrineError('wrong-state', { actual: 'a recording is under way', required: 'none' });
  }
  replay.begin();
  return new InputRecording(guest, replay, startOf(guest), maxBytes);
}

/**
 * Begins a log again over the state that the paused guest was brought to. Throws `guest-mismatch` when that is not the state
 * at which recording began, as far as its devices tell, or the log is of a machine that ran compiled code and this one does
 * not, or the other way round.
 */
export function replayInput(guest: RecordableGuest, log: InputLog): Replayer {
  const replay = replayOf(guest);
  if (replay.onInput !== undefined) {
    throw new VitrineError('wrong-state', { actual: 'a recording is under way', required: 'none' });
  }
  if (replay.isCompiled !== log.isCompiled) {
    throw new VitrineError('guest-mismatch', {
      field: 'compile',
      expected: log.isCompiled,
      actual: replay.isCompiled,
    });
  }
  replay.begin();
  const start = startOf(guest);
  if (start !== log.start) {
    throw new VitrineError('guest-mismatch', { field: 'device state', expected: log.start, actual: start });
  }
  return new Replayer(guest, replay, log);
}

function replayOf(guest: RecordableGuest): V86Replay {
  if (guest.replay !== undefined) return guest.replay;
  throw new VitrineError('unsupported', { missing: 'replay', reason: 'not opened as deterministic' });
}

function diverged(data: Record<string, string | number>): never {
  throw new VitrineError('replay-diverged', data);
}

function devicesOf(guest: Guest): readonly DeviceRecord[] {
  // Safe: this guest lives in this thread and answers at once.
  return guest.saveDevices() as DeviceRecord[];
}

function startOf(guest: Guest): number {
  const crcs = devicesOf(guest).map(({ bytes }) => crc32c(bytes));
  return crc32c(new Uint8Array(Uint32Array.from(crcs).buffer));
}

function checksumsOf(guest: Guest): Checksum[] {
  const regions = guest.regions.map(({ id, name }) => ({
    name: `region ${name}`,
    crc: crc32c(guest.view(id)!),
  }));
  const records = devicesOf(guest).map(({ name, bytes }) => ({ name: `record ${name}`, crc: crc32c(bytes) }));
  // Devices first: they have names, and what differs in memory mostly follows from them.
  return [...records, ...regions];
}
