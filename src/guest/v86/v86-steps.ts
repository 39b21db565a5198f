// Steps of a deterministic machine: a copy of where it began, the log of what entered it since, and a run of that log to
// wherever it is to stand. Going on costs the way on; going back costs the way from the beginning, some 50 million steps a
// second. The copy is as large as the machine's memory.

import { copyBytes, equalBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import type { DeviceRecord } from '../guest.ts';
import type { InputLog } from '../input-log.ts';
import type { StepPlace, Steps } from '../steps.ts';
import { STEPS_PER_MS } from './deterministic-clock.ts';
import {
  type InputRecording,
  type RecordableGuest,
  type Replayer,
  recordInput,
  replayInput,
} from './replay-log.ts';
import type { V86Replay } from './replay-machine.ts';

interface Beginning {
  readonly regions: readonly Uint8Array[];
  readonly devices: readonly DeviceRecord[];
}

interface Held {
  readonly beginning: Beginning;
  readonly log: InputLog;
  /** Where it runs; undefined at the end that was recorded, and where somebody else brought the machine elsewhere. */
  replayer: Replayer | undefined;
}

export class V86Steps implements Steps {
  readonly #guest: RecordableGuest;
  readonly #replay: V86Replay;
  #noting: { readonly beginning: Beginning; readonly recording: InputRecording } | undefined;
  #held: Held | undefined;
  #isBusy = false;

  /** Throws `unsupported` for a guest that was not opened as `deterministic`. */
  constructor(guest: RecordableGuest) {
    if (guest.replay === undefined) {
      throw new VitrineError('unsupported', { missing: 'replay', reason: 'not opened as deterministic' });
    }
    this.#guest = guest;
    this.#replay = guest.replay;
  }

  async begin(): Promise<void> {
    this.#require('live');
    await this.#guest.pause();
    try {
      this.#require('live');
      const recording = recordInput(this.#guest);
      this.#noting = { beginning: this.#take(), recording };
    } finally {
      await this.#guest.resume();
    }
  }

  async hold(): Promise<StepPlace> {
    this.#require('noting');
    await this.#guest.pause();
    const noting = this.#noting;
    this.#noting = undefined;
    try {
      if (noting === undefined) this.#require('noting');
      this.#held = { beginning: noting!.beginning, log: noting!.recording.stop(), replayer: undefined };
    } catch (error) {
      await this.#guest.resume();
      throw error;
    }
    return this.#place();
  }

  async go(steps: number, signal?: AbortSignal): Promise<StepPlace> {
    this.#require('held');
    if (!Number.isSafeInteger(steps) || steps < 0) {
      throw new VitrineError('argument-invalid', { name: 'steps', value: steps });
    }
    if (this.#isBusy) throw new VitrineError('busy', { underWay: 'a step' });
    this.#isBusy = true;
    try {
      const from = this.#replay.position.steps;
      await this.#go(this.#held!, steps, signal);
      // A sleep is of the instruction that halted: whoever goes back into one comes to stand before that.
      if (steps < from && this.#replay.position.steps >= from) {
        await this.#go(this.#held!, Math.max(0, this.#replay.lastInstruction - 1), signal);
      }
    } finally {
      this.#isBusy = false;
    }
    return this.#place();
  }

  async release(): Promise<void> {
    if (this.#isBusy) throw new VitrineError('busy', { underWay: 'a step' });
    // What is not wanted has nowhere to fail to.
    this.#noting?.recording.end();
    this.#noting = undefined;
    if (this.#held === undefined) return;
    this.#held = undefined;
    await this.#guest.resume();
  }

  async #go(held: Held, steps: number, signal: AbortSignal | undefined): Promise<void> {
    const { log, beginning } = held;
    const isAtEnd = held.replayer === undefined && this.#replay.position.steps === log.end.steps;
    if (isAtEnd && steps >= log.end.steps) return;
    if (held.replayer === undefined || steps < held.replayer.position.steps) {
      this.#replay.onDisturbed = undefined;
      this.#put(beginning);
      held.replayer = replayInput(this.#guest, log);
      // Whoever restores it meanwhile takes it out of its course.
      this.#replay.onDisturbed = () => {
        held.replayer = undefined;
      };
    }
    await held.replayer.runTo(steps >= log.end.steps ? 'end' : steps, signal);
  }

  #place(): StepPlace {
    const { steps } = this.#replay.position;
    const { registers, code } = this.#replay.processor;
    return {
      steps,
      endSteps: this.#held!.log.end.steps,
      elapsedMs: steps / STEPS_PER_MS,
      registers,
      code,
    };
  }

  #require(wanted: 'live' | 'noting' | 'held'): void {
    const actual = this.#held !== undefined ? 'held' : this.#noting !== undefined ? 'noting' : 'live';
    if (actual !== wanted) throw new VitrineError('wrong-state', { actual, required: wanted });
  }

  #take(): Beginning {
    // Safe: this guest lives in this thread and answers at once.
    const records = this.#guest.saveDevices() as DeviceRecord[];
    return {
      regions: this.#guest.regions.map(({ id }) => copyBytes(this.#guest.view(id)!)),
      devices: records.map((record) => ({ ...record, bytes: copyBytes(record.bytes) })),
    };
  }

  /** Writes what differs alone: the code of other pages stays. */
  #put({ regions, devices }: Beginning): void {
    for (const { id, sizeBytes, pageBytes } of this.#guest.regions) {
      const present = this.#guest.view(id)!;
      for (let at = 0; at < sizeBytes; at += pageBytes) {
        const page = regions[id]!.subarray(at, at + pageBytes);
        if (equalBytes(page, present.subarray(at, at + page.length))) continue;
        void this.#guest.writePages({ region: id, offsetBytes: at, lengthBytes: page.length }, page);
      }
    }
    void this.#guest.loadDevices(devices);
  }
}
