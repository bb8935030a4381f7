/** The works of the benchmark: what they are, their inputs, and their pipelines as a user would write them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TAXI_COLUMNS } from '../fixtures/taxi.ts';

export const ALL_WORKLOADS = ['w1', 'w1js', 'w2', 'w3', 'w4', 'w5'] as const;
export type Workload = (typeof ALL_WORKLOADS)[number];
/** Those of `npm run bench` without `--peers`. */
export const WORKLOADS = ['w1', 'w2', 'w3', 'w4'] as const satisfies Workload[];
export type Input = 'events' | 'taxi';

/** Short names, for tables whose rows are works. */
export const WORKLOAD_NAMES: Record<Workload, string> = {
  w1: 'W1',
  w1js: 'W1, JavaScript',
  w2: 'W2',
  w3: 'W3',
  w4: 'W4',
  w5: 'W5',
};

export const WORKLOAD_TEXT: Record<Workload, string> = {
  w1: 'W1: keep `ok == true`, rename `ts`, add `total` and `user_key`, drop `ua`',
  w1js: 'W1 with an expression in JavaScript: `user_key` begins with `lower(user.country)`',
  w2: 'W2: CSV to NDJSON, cast 13 of 18 columns, keep `passenger_count > 0` and `fare_amount > 10`',
  w3: 'W3: batches of 1000 records, each as one JSON array a line',
  w4: 'W4: a copy, every record checked',
  w5: 'W5: W1, and the hash of an address, whether it matches a regular expression, and two fields out of it',
};

export const inputOf = (workload: Workload): Input => (workload === 'w2' ? 'taxi' : 'events');

const NUMBERS = Object.entries(TAXI_COLUMNS).filter(([, type]) => type !== 'text');

const PARSE: Record<Input, string> = {
  events: `  - name: parse_json
    config: { framing: lines }
`,
  taxi: `  - name: parse_csv
    config:
      types: { ${NUMBERS.map(([column, type]) => `${column}: ${type}`).join(', ')} }
`,
};

const w1 = (userKey: string): string => `  - name: filter
    config: { where: ok == true }
  - name: map
    config:
      set:
        total: round(amount * 119) / 100
        user_key: '${userKey}'
      rename: { ts: timestamp }
      drop: [ua]
`;
const W1 = w1('user.country + ":" + string(user.id)');

export const MIDDLE: Record<Workload, string> = {
  w1: W1,
  // lower() is none of the kernel's operations.
  w1js: w1('lower(user.country) + ":" + string(user.id)'),
  w2: `  - name: filter
    config: { where: passenger_count > 0 && fare_amount > 10 }
`,
  w3: `  - name: batch
    config: { emit: array, batch_size: 1000 }
`,
  w4: '',
  w5: `${W1}  - name: map
    config:
      set:
        email_hash: hash(user.email)
        is_numbered: matches(user.email, "^user([0-9]+)@(.+)$")
        user_number: 'split(split(user.email, "@")[0], "user")[1]'
        email_domain: 'split(user.email, "@")[1]'
`,
};

/** Measurements and checkpoints as far away as the settings let them be. */
export const UNOBSERVED = `monitoring: { interval_seconds: 86400 }
state_manager: { checkpoint_interval: 24h }
`;

/** From ${INPUT} to ${OUTPUT}; `output`: more settings of the file that is written. */
export function pipelineText(input: Input, middle: string, output = ''): string {
  return `pipeline:
  - name: read_file
    config: { path: "\${INPUT}" }
${PARSE[input]}${middle}  - name: format_json
    config: { framing: lines }
  - name: write_file
    config: { path: "\${OUTPUT}"${output} }
`;
}

/** Makes a project in `folder`, with these pipelines. */
export function makeProject(folder: string, pipelines: Record<string, string>, settings = ''): void {
  mkdirSync(join(folder, 'pipelines'), { recursive: true });
  writeFileSync(join(folder, 'oxiflow.yaml'), `project: { name: bench, version: "1.0.0" }\n${settings}`);
  for (const [name, text] of Object.entries(pipelines)) writeFileSync(join(folder, 'pipelines', `${name}.yaml`), text);
}

/** The runner's project: one pipeline a work. */
export function writeProject(folder: string, settings = ''): void {
  const texts = ALL_WORKLOADS.map((workload) => [workload, pipelineText(inputOf(workload), MIDDLE[workload])]);
  makeProject(folder, Object.fromEntries(texts), settings);
}
