// The workloads as one would write them in an afternoon: node naive.mjs w1|w1js|w2|w3|w4|w5 INPUT OUTPUT
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

const [, , workload, input, output] = process.argv;

function w1(line, change = (country) => country) {
  const record = JSON.parse(line);
  if (record.ok !== true) return undefined;
  const { id, seq, ts, ua: _, ...rest } = record;
  const total = Math.round(record.amount * 119) / 100;
  return { id, seq, timestamp: ts, ...rest, total, user_key: `${change(record.user.country)}:${record.user.id}` };
}

const w1js = (line) => w1(line, (country) => country.toLowerCase());

function w5(line) {
  const record = w1(line);
  if (record === undefined) return undefined;
  record.email_hash = createHash('sha256').update(record.user.email).digest('hex');
  const match = /^user(\d+)@(.+)$/.exec(record.user.email);
  record.is_numbered = match !== null;
  record.user_number = match?.[1];
  record.email_domain = match?.[2];
  return record;
}

/** The cells of a row; a quoted one may hold commas and doubled quotes, not line ends. */
function cellsOf(line) {
  if (!line.includes('"')) return line.split(',');
  const cells = [];
  for (let at = 0; at <= line.length; ) {
    let end;
    if (line[at] === '"') {
      end = line.indexOf('"', at + 1);
      while (line[end + 1] === '"') end = line.indexOf('"', end + 2);
      cells.push(line.slice(at + 1, end).replaceAll('""', '"'));
      end += 1;
    } else {
      end = line.indexOf(',', at);
      if (end < 0) end = line.length;
      cells.push(line.slice(at, end));
    }
    at = end + 1;
  }
  return cells;
}

const TEXTS = new Set([
  'tpep_pickup_datetime',
  'tpep_dropoff_datetime',
  'store_and_fwd_flag',
  'PULocation',
  'DOLocation',
]);
let columns;
function w2(line) {
  const cells = cellsOf(line);
  if (columns === undefined) {
    columns = cells;
    return undefined;
  }
  const ride = {};
  for (let i = 0; i < columns.length; i += 1) {
    const cell = cells[i];
    ride[columns[i]] = TEXTS.has(columns[i]) ? cell : cell === '' ? null : Number(cell);
  }
  return ride.passenger_count > 0 && ride.fare_amount > 10 ? ride : undefined;
}

let batch = [];
function w3(line) {
  batch.push(JSON.parse(line));
  if (batch.length < 1000) return undefined;
  const full = batch;
  batch = [];
  return full;
}

const change = { w1, w1js, w2, w3, w4: JSON.parse, w5 }[workload];
const out = createWriteStream(output);
for await (const line of createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
  const record = change(line);
  if (record !== undefined && !out.write(`${JSON.stringify(record)}\n`)) await once(out, 'drain');
}
if (batch.length > 0) out.write(`${JSON.stringify(batch)}\n`);
out.end();
await once(out, 'finish');
