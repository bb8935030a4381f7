/** What a worker believes of the table of split groups. */
import { expect, test } from 'vitest';
import { GroupTable } from '../../runner/workers/group-table.ts';
import type { SharedDocument, SharedRun } from '../../runner/workers/shared-run.ts';

// A server goes back when a failover loses its last writes, which nobody can have at will: what it answers is made up here.
test('a group whose end the state has forgotten is open again', async () => {
  const begun = {
    run_id: 'monday',
    attempt: 1,
    shared: { groups: [{ splits: [] }, { splits: [] }] },
  } as unknown as SharedDocument;
  let stored = begun;
  const run = {
    read: async () => stored,
    update: async (_runId: string, change: (document: SharedDocument) => SharedDocument | undefined) => {
      stored = change(stored) ?? stored;
      return stored;
    },
  } as unknown as SharedRun;
  const sharing = { kind: 'shard', index: 0, of: 2 } as const;
  const table = new GroupTable({ run, sharing, workerId: 'w', now: () => new Date(0) }, begun);
  expect(table.open).toEqual([0]);
  await table.markDone(0, { records: 5, bytes: 50 });
  await table.refresh();
  expect([table.open, [...table.finished]]).toEqual([[], [0]]);
  stored = begun;
  await table.refresh();
  expect([table.open, [...table.finished]]).toEqual([[0], []]);
});
