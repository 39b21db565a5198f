// Linux on v86 in a time of its own: booted by compiled code, brought over, a shell at work recorded, then run again.

import { describe, expect, it } from 'vitest';
import { decodeInputLog, encodeInputLog } from '../../src/guest/input-log.ts';
import { recordInput, replayInput, V86Steps } from '../../src/guest/v86/index.ts';
import { differenceOf, putInstant, takeInstant } from '../../src/testing/guest-suites/instant.ts';
import { Random } from '../../src/testing/random.ts';
import { seedOfRun } from '../support/seed.ts';
import { openLinux, Shell } from './shell.ts';

const WORK = [
  'dd if=/dev/urandom bs=1k count=4 2>/dev/null | md5sum; date',
  'ls -la /proc | tail -3; cat /proc/uptime',
];

describe('Linux on v86, deterministic', () => {
  it('does the same three times', async () => {
    const random = new Random(seedOfRun());
    const live = await openLinux();
    await live.start();
    await new Shell(live).untilUp();
    await live.pause();
    const booted = await takeInstant(live);
    await live.close();

    const guest = await openLinux({ deterministic: true });
    await guest.pause();
    await putInstant(guest, booted);
    const recording = recordInput(guest);
    const start = await takeInstant(guest);
    const shell = new Shell(guest);
    await guest.start();
    await guest.resume();
    const answers: string[] = [];
    for (const command of WORK) answers.push(await shell.run(command));
    // What a save does in the middle of it.
    await guest.pause();
    guest.takeDirty().commit();
    guest.saveDevices();
    await guest.resume();
    answers.push(await shell.run('md5sum /bin/busybox'));
    await guest.pause();
    const log = decodeInputLog(encodeInputLog(recording.stop()));
    const end = await takeInstant(guest);
    expect(answers[0]).toMatch(/^[0-9a-f]{32}/);
    expect(log.inputs.length).toBeGreaterThan(100);
    for (let time = 0; time < 3; time++) {
      await putInstant(guest, start);
      const replayer = replayInput(guest, log);
      if (time === 1) await replayer.runTo(Math.floor(log.end.steps / 2));
      // Cut anywhere, one instruction at a time here and there.
      for (let cut = 0; time === 2 && cut < 300; cut++) {
        const { steps } = replayer.position;
        const most = cut % 3 === 0 ? 4 : Math.floor(log.end.steps / 200);
        await replayer.runTo(Math.min(log.end.steps, steps + 1 + random.below(most)));
      }
      expect(await replayer.runTo('end')).toEqual(log.end);
      expect(differenceOf(await takeInstant(guest), end)).toBe('none');
    }
    await guest.resume();

    // As a person steps: into a command, one instruction back and on again, and to the end, where all is compared.
    const steps = new V86Steps(guest);
    await steps.begin();
    expect(await shell.run('echo $((6 * 7))')).toBe('42');
    const { endSteps } = await steps.hold();
    const here = await steps.go(Math.floor(endSteps / 2));
    const next = await steps.go(here.steps + 1);
    expect(await steps.go(here.steps)).toEqual(here);
    expect(await steps.go(here.steps + 1)).toEqual(next);
    expect((await steps.go(endSteps)).steps).toBe(endSteps);
    await steps.release();
    expect(await shell.run('echo still here')).toBe('still here');
    await guest.close();
  });
});
