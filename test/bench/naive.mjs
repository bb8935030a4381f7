// The workloads as one would write them in an afternoon: node naive.mjs w1|w4 INPUT OUTPUT
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

const [, , workload, input, output] = process.argv;

function w1(record) {
  if (record.ok !== true) return undefined;
  const { id, seq, ts, ua: _, ...rest } = record;
  const total = Math.round(record.amount * 119) / 100;
  return { id, seq, timestamp: ts, ...rest, total, user_key: `${record.user.country}:${record.user.id}` };
}

const change = workload === 'w1' ? w1 : (record) => record;
const out = createWriteStream(output);
for await (const line of createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
  const record = change(JSON.parse(line));
  if (record !== undefined && !out.write(`${JSON.stringify(record)}\n`)) await once(out, 'drain');
}
out.end();
await once(out, 'finish');
