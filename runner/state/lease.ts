/**
 * When a lease is over, the same for every backend that keeps leases on this machine or a shared disk. The wall clock of a client has
 * no say: on one boot the boot's own clock decides; of a foreign holder the file server's clock, where there is one that can be
 * trusted, and what this store has seen with its own eyes.
 */
import { isProvenDead, monotonicMs, thisMachine } from './host.ts';
import type { AcquireResult, Holder, LeaseStanding, StoreOptions } from './store.ts';

/** A lease as it is stored. */
export interface LeaseRecord {
  holder: Holder;
  ttlMs: number;
  /** Milliseconds on the clock of the holder's boot. */
  renewedMs: number;
  /** Counts renewals; a reader on another boot watches it change. */
  beat: number;
  released: boolean;
}

export type Standing =
  | { over: true; predecessor: Extract<AcquireResult, { acquired: true }>['predecessor'] & object }
  | { over: false; holder: Holder; remainingMs: number };

/** A renewal that lies further ahead than this was made on another clock (time namespaces). */
const CLOCK_SLACK_MS = 1000;

/** Judges leases, and remembers since when it has seen each foreign one unchanged. */
export class LeaseWatch {
  readonly now: () => number;
  readonly #seen = new Map<string, { sign: string; since: number }>();

  constructor(options: StoreOptions) {
    this.now = options.monotonicMs ?? monotonicMs;
  }

  /**
   * `key` names the lease among all that this store sees. With `force` it is over, however its holder stands. `ageMs`: how long ago
   * it was renewed by the store's own clock, where that is known.
   */
  judge(
    key: string,
    token: number,
    lease: LeaseRecord,
    { force = false, ageMs }: { force?: boolean | undefined; ageMs?: number | undefined } = {},
  ): Standing {
    const provenDead = isProvenDead(lease.holder);
    const remainingMs = lease.released || provenDead || force ? 0 : this.#remaining(key, token, lease, ageMs);
    if (remainingMs > 0) return { over: false, holder: lease.holder, remainingMs };
    this.#seen.delete(key);
    return { over: true, predecessor: { holder: lease.holder, token, released: lease.released, provenDead } };
  }

  /** As a person who looks sees it; undefined where it was given back. */
  show(key: string, token: number, lease: LeaseRecord, ageMs?: number): LeaseStanding | undefined {
    if (lease.released) return undefined;
    const { holder } = lease;
    const found = this.judge(key, token, lease, { ageMs });
    if (!found.over) return { holder, over: false, provenDead: false, remainingMs: found.remainingMs };
    return { holder, over: true, provenDead: found.predecessor.provenDead, remainingMs: 0 };
  }

  /** It was taken on this very boot, so that its own clock tells its age. */
  isOurs(lease: LeaseRecord): boolean {
    const { bootId } = lease.holder;
    return bootId !== '' && bootId === thisMachine().bootId && lease.renewedMs <= this.now() + CLOCK_SLACK_MS;
  }

  #remaining(key: string, token: number, lease: LeaseRecord, ageMs = 0): number {
    const now = this.now();
    if (this.isOurs(lease)) return Math.min(lease.ttlMs, lease.renewedMs + lease.ttlMs - now);
    const sign = `${token} ${lease.beat} ${lease.renewedMs}`;
    let seen = this.#seen.get(key);
    if (seen?.sign !== sign) {
      seen = { sign, since: now };
      this.#seen.set(key, seen);
    }
    // Both hold: nobody renewed it for so long, whichever is seen first.
    return lease.ttlMs - Math.max(ageMs, now - seen.since);
  }
}

/** The stored form, checked by shape; undefined where it is not a lease. */
export function parseLease(value: unknown): LeaseRecord | undefined {
  const lease = value as Partial<LeaseRecord> | null;
  const holder = lease?.holder as Partial<Holder> | undefined;
  const ok =
    typeof lease === 'object' &&
    lease !== null &&
    typeof lease.ttlMs === 'number' &&
    typeof lease.renewedMs === 'number' &&
    typeof lease.beat === 'number' &&
    typeof lease.released === 'boolean' &&
    typeof holder === 'object' &&
    [holder.workerId, holder.host, holder.bootId, holder.pidSpace, holder.startedAt].every(
      (text) => typeof text === 'string',
    ) &&
    typeof holder.pid === 'number';
  return ok ? (lease as LeaseRecord) : undefined;
}
