// diff: the pages in which two snapshots differ, or a machine as it is now and a snapshot. Runs of pages are streamed, the
// answer sums them up.

import * as v from 'valibot';
import type { DiffReport } from '../../engine/diff.ts';
import { COUNT, MACHINE_NAME, SNAPSHOT } from '../fields.ts';
import { running } from '../running.ts';
import { type Call, defineVerb } from '../verb.ts';

export const diff = defineVerb({
  id: 13,
  name: 'diff',
  permission: 'peek',
  effect: 'none',
  streams: { down: 'items', up: 'none' },
  request: v.union([
    v.strictObject({ a: SNAPSHOT, b: SNAPSHOT }),
    /** Against its base unless told. */
    v.strictObject({ machine: MACHINE_NAME, snapshot: v.exactOptional(SNAPSHOT) }),
  ]),
  item: v.object({ region: COUNT, first: COUNT, count: COUNT }),
  response: v.object({
    regions: v.array(v.object({ name: v.string(), pageBytes: COUNT, pageCount: COUNT, pagesChanged: COUNT })),
    devices: v.array(v.string()),
  }),
  async run(call, request) {
    const report = await reportOf(call, request);
    for (const [region, { runs }] of report.regions.entries()) {
      await call.sendItems(runs.map(({ first, count }) => ({ region, first, count })));
    }
    return {
      regions: report.regions.map(({ name, pageBytes, pageCount, pagesChanged }) => ({
        name,
        pageBytes,
        pageCount,
        pagesChanged,
      })),
      devices: [...report.devices],
    };
  },
});

type DiffRequest =
  | { readonly a: string; readonly b: string }
  | { readonly machine: string; readonly snapshot?: string };

async function reportOf(call: Call, request: DiffRequest): Promise<DiffReport> {
  if ('a' in request) {
    const a = await call.snapshot(request.a);
    const b = await call.snapshot(request.b);
    return call.host.engine.diff(a.id, b.id);
  }
  const machine = running(call.machine(request.machine));
  if (request.snapshot === undefined) return machine.diff();
  return machine.diff((await call.snapshot(request.snapshot)).id);
}
