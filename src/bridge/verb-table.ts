// The table of verbs: closed, ids append-only. What is not in it does not exist for a client.

import type { Verb } from './verb.ts';
import { attach } from './verbs/attach.ts';
import { bells } from './verbs/bells.ts';
import { cancelJob } from './verbs/cancel-job.ts';
import { checkpoint } from './verbs/checkpoint.ts';
import { collect } from './verbs/collect.ts';
import { deleteSnapshots } from './verbs/delete-snapshots.ts';
import { diff } from './verbs/diff.ts';
import { dropCheckpoint } from './verbs/drop-checkpoint.ts';
import { followJob } from './verbs/follow-job.ts';
import { fork } from './verbs/fork.ts';
import { hello } from './verbs/hello.ts';
import { jobs } from './verbs/jobs.ts';
import { list } from './verbs/list.ts';
import { log } from './verbs/log.ts';
import { machineConsole } from './verbs/machine-console.ts';
import { machineScreen } from './verbs/machine-screen.ts';
import { pause } from './verbs/pause.ts';
import { peek } from './verbs/peek.ts';
import { poke } from './verbs/poke.ts';
import { pull } from './verbs/pull.ts';
import { push } from './verbs/push.ts';
import { quicken } from './verbs/quicken.ts';
import { registers } from './verbs/registers.ts';
import { reset } from './verbs/reset.ts';
import { restore } from './verbs/restore.ts';
import { resume } from './verbs/resume.ts';
import { rewindList } from './verbs/rewind-list.ts';
import { rewindMark } from './verbs/rewind-mark.ts';
import { rewindResume } from './verbs/rewind-resume.ts';
import { rewindSeek } from './verbs/rewind-seek.ts';
import { rewindStart } from './verbs/rewind-start.ts';
import { rewindStop } from './verbs/rewind-stop.ts';
import { run } from './verbs/run.ts';
import { save } from './verbs/save.ts';
import { show } from './verbs/show.ts';
import { status } from './verbs/status.ts';
import { stop } from './verbs/stop.ts';
import { storeDelete } from './verbs/store-delete.ts';
import { storeGet } from './verbs/store-get.ts';
import { storeList } from './verbs/store-list.ts';
import { storePut } from './verbs/store-put.ts';
import { storeSwap } from './verbs/store-swap.ts';
import { verify } from './verbs/verify.ts';

export const VERBS = {
  hello,
  list,
  status,
  save,
  restore,
  checkpoint,
  reset,
  fork,
  peek,
  poke,
  log,
  show,
  diff,
  verify,
  deleteSnapshots,
  collect,
  jobs,
  followJob,
  cancelJob,
  run,
  attach,
  stop,
  pause,
  resume,
  machineConsole,
  dropCheckpoint,
  pull,
  push,
  storeGet,
  storeList,
  storePut,
  storeDelete,
  storeSwap,
  machineScreen,
  registers,
  bells,
  rewindStart,
  rewindStop,
  rewindList,
  rewindMark,
  rewindSeek,
  rewindResume,
  quicken,
} as const;

export type VerbName = keyof typeof VERBS;

// Safe: schemas of a table's entries are narrower than `Schema`, and each verb gets what its own schema made.
const BY_ID = new Map<number, Verb>(Object.values(VERBS).map((verb) => [verb.id, verb as unknown as Verb]));

/** The verb of an id on the wire. */
export function verbOf(id: number): Verb | undefined {
  return BY_ID.get(id);
}
