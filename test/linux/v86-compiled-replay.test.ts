// Linux on v86 in a time of its own with compiled code: from the power switch to a shell at work, recorded live, then run
// again by a machine that compiled other code before.

import { describe, expect, it } from 'vitest';
import { decodeInputLog, encodeInputLog } from '../../src/guest/input-log.ts';
import { type InputRecording, recordInput, replayInput, type V86Guest } from '../../src/guest/v86/index.ts';
import { differenceOf, putInstant, takeInstant } from '../../src/testing/guest-suites/instant.ts';
import { openLinux, Shell } from './shell.ts';

const WORK = [
  'dd if=/dev/urandom bs=1k count=4 2>/dev/null | md5sum; date',
  'ls -la /proc | tail -3; cat /proc/uptime',
];

const open = () => openLinux({ deterministic: true, compile: true });

async function logOf(guest: V86Guest, recording: InputRecording) {
  await guest.pause();
  return decodeInputLog(encodeInputLog(recording.stop()));
}

describe('Linux on v86, deterministic and compiled', () => {
  it('boots and works alike in another machine, and goes back', async () => {
    const live = await open();
    await live.pause();
    const start = await takeInstant(live);
    const boot = recordInput(live);
    const shell = new Shell(live);
    await live.start();
    await live.resume();
    await shell.untilUp();
    const bootLog = await logOf(live, boot);
    const booted = await takeInstant(live);

    const work = recordInput(live);
    await live.resume();
    const answers: string[] = [];
    for (const command of WORK) answers.push(await shell.run(command));
    const log = await logOf(live, work);
    expect(answers[0]).toMatch(/^[0-9a-f]{32}/);
    expect(log.inputs.length).toBeGreaterThan(100);
    const end = await takeInstant(live);
    await live.close();

    const other = await open();
    await other.pause();
    // Enough of the boot that its code is compiled, to be forgotten.
    await other.replay!.run(100_000_000);
    await putInstant(other, start);
    expect(await replayInput(other, bootLog).runTo('end')).toEqual(bootLog.end);
    expect(differenceOf(await takeInstant(other), booted)).toBe('none');

    const replayer = replayInput(other, log);
    await replayer.runTo(Math.floor(log.end.steps / 2));
    const middle = await takeInstant(other);
    const { steps } = replayer.position;
    expect(await replayer.runTo('end')).toEqual(log.end);
    expect(differenceOf(await takeInstant(other), end)).toBe('none');
    const back = await replayer.stepBack(log.end.steps - steps, () => putInstant(other, booted));
    expect(back.steps).toBe(steps);
    expect(differenceOf(await takeInstant(other), middle)).toBe('none');
    await replayer.runTo('end');
    await other.close();
  });
});
