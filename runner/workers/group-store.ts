/**
 * One split group of a shared run as if it were a run of its own: its attempts are kept in `group-K`, its checkpoints in
 * `split-K`, under the lease with which it was claimed. What belongs to the whole run is not the group's to do.
 */
import type { AcquireResult, Part, StateStore } from '../state/store.ts';

type Claimed = Extract<AcquireResult, { acquired: true }>;

/** `claimed`: the lease of `split-K`; whoever asks for it is given it. */
export function groupStore(store: StateStore, index: number, claimed: Claimed): StateStore {
  const split: Part = `split-${index}`;
  const partOf = (part: Part): Part => (part === 'run' ? `group-${index}` : part === 'split-0' ? split : part);
  const view: Partial<StateStore> = {
    read: (runKey, part) => store.read(runKey, partOf(part)),
    write: (runKey, part, document) => store.write(runKey, partOf(part), document),
    acquire: async () => claimed,
    // Whoever claimed it gives it back, once the group is marked as done: before that, others would do it again.
    release: async () => undefined,
    standing: (runKey, part) => store.standing(runKey, partOf(part)),
    clearRequests: async () => undefined,
    appendHistory: async () => undefined,
    prune: async () => ({ runs: 0, history: 0 }),
  };
  return new Proxy(store, {
    get(target, name) {
      const own = view[name as keyof StateStore] ?? Reflect.get(target, name, target);
      // Stores keep their fields private: their methods work on themselves only.
      return typeof own === 'function' && !(name in view) ? own.bind(target) : own;
    },
  });
}
