/** How long a fenced commit takes on Redis, through the store, beside a bare awaited SET of the same bytes. */
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { thisHolder } from '../../runner/state/host.ts';
import { Append } from '../../runner/state/redis/driver.ts';
import { sealDocument } from '../../runner/state/redis/rows.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import { RedisServer } from '../servers/redis.ts';
import { settingsFor } from '../state/redis-open.ts';
import { median } from './report.ts';

/** Microseconds of one operation, a median a series. */
export interface Series {
  name: string;
  micros: number[];
}

export interface Commits {
  /** The SET, the SET of a document that is written as JSON first, the command of a commit alone, the commit. */
  series: [set: Series, json: Series, entry: Series, commit: Series];
  bytes: number;
}

const RUN_KEY = 'w1';
const PART = 'split-0';
/** Series at the start that count for nothing: they warm the code. */
const WARM = 3;

/** A checkpoint of W1, as it stands in the store after half a second. */
function checkpointOf(n: number): Parameters<typeof sealDocument>[3] {
  const records = 23_862 * n;
  const kept = 21_492 * n;
  return {
    run_id: 'b780d5b9-09e5-4ce8-a5c7-20f34680aa26',
    checkpoint: {
      soft: {
        n,
        grade: 'soft',
        boot_id: '5703409e-ff95-42b2-83c8-1f38f633c87d',
        host: 'depot/0035969ec5',
        at: '2026-11-30T04:52:06.077Z',
        position: {
          split: 0,
          offset: 410 * records,
          ordinal: records,
          framer: null,
          fingerprint: '5129d6b23fd8f060907c5e4aec70ff8661930beaa438df5eac407fcac605963c',
          finished: '',
        },
        snapshots: {},
        marks: {
          write_file: { n, records: kept, bytes: 390 * kept, data: { inode: '65024:9980257', base: 0 } },
        },
        encoders: { write_file: { records: kept, framing: 'lines' } },
        counters: {
          read_file: { added: records, out: records, bytes_in: 410 * records, bytes_out: 410 * records },
          parse_json: { in: records, out: records, bytes_in: 409 * records },
          filter: { in: records, out: kept, filtered: records - kept },
          map: { in: kept, out: kept },
          format_json: { in: kept, out: kept, bytes_out: 389 * kept },
          write_file: { in: kept, out: kept, bytes_in: 390 * kept, bytes_out: 390 * kept },
        },
        records,
        bytes: 410 * records,
        elapsed_ms: 500 * n,
      },
    },
  };
}

/** `rounds` series of `each` operations of each kind, in turn; every other round in the other order. */
export async function measureCommits(rounds: number, each: number): Promise<Commits> {
  await using server = await RedisServer.start();
  await using store = openRedisStore(settingsFor(server.url));
  // As the store's own connections are.
  const bare = new Redis(server.port, '127.0.0.1', { protocol: 2, enableReadyCheck: false, disableClientInfo: true });
  try {
    await once(bare, 'connect');
    const taken = await store.acquire(RUN_KEY, PART, thisHolder('bench'), 30_000);
    if (!taken.acquired) throw new Error('a new server has no lease');
    const { token } = taken.lease;
    let version = 0;
    let entries = 0;
    const sealed = sealDocument(RUN_KEY, PART, 1, checkpointOf(1));
    await bare.xadd('entries', '0-1', 'n 0', sealed);
    const commit = async (body: ReturnType<typeof checkpointOf>): Promise<void> => {
      const result = await store.write(RUN_KEY, PART, { expected: version, token, body, grade: 'soft' });
      if (!result.written) throw new Error(`the commit was refused: ${result.reason}`);
      version = result.version;
    };
    const kinds: [Series, (body: ReturnType<typeof checkpointOf>) => Promise<unknown>][] = [
      [{ name: 'SET of ready bytes', micros: [] }, () => bare.set('bare', sealed)],
      [{ name: 'SET of the document as JSON', micros: [] }, (body) => bare.set('bare', JSON.stringify(body))],
      [
        { name: 'XADD of ready bytes', micros: [] },
        () => bare.sendCommand(new Append('entries', `1-${++entries}`, 'n 0', sealed)) as Promise<unknown>,
      ],
      [{ name: 'fenced commit', micros: [] }, commit],
    ];
    for (let round = -WARM; round < rounds; round += 1) {
      for (const [series, work] of round % 2 === 0 ? kinds : kinds.toReversed()) {
        const micros: number[] = [];
        for (let i = 1; i <= each; i += 1) {
          const body = checkpointOf(i);
          const began = performance.now();
          await work(body);
          micros.push(1000 * (performance.now() - began));
        }
        if (round >= 0) series.micros.push(median(micros));
      }
    }
    const stored = await store.read(RUN_KEY, PART);
    if (stored?.version !== (rounds + WARM) * each) throw new Error('a commit is missing');
    return { series: kinds.map(([series]) => series) as Commits['series'], bytes: sealed.length };
  } finally {
    bare.disconnect();
  }
}
