/** What `store-child.ts` is to do in a process or thread of its own. */
export interface ChildTask {
  backend: string;
  location: string;
  runKey: string;
  /** Absent: hold the lease. */
  count?: { writer: number; times: number };
  /** Take leases, keep them alive for a while and give them back, again and again. */
  toil?: { worker: number; rounds: number };
}
