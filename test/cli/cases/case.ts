/** What can go wrong for a user: a project, a command line, and the exit code and sentence that comes of them. */

export interface BadCase {
  /** What the user did wrong; names the test. */
  title: string;
  /** pipelines/orders.yaml, where it is not the good one. */
  pipeline?: string;
  files?: Readonly<Record<string, string | Uint8Array>>;
  /** `run orders` where left out. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  input?: string;
  /** Nobody may read or write these, and the program runs as a user without rights. */
  forbidden?: readonly string[];
  /** Folders to make. */
  folders?: readonly string[];
  code: number;
  /** All of stderr but for times. `ROOT` stands for the project's folder. */
  message: string;
}

export const ORDERS = '{"order":1,"total":12.5}\n{"order":2,"total":7}\n{"order":3,"total":40}\n';
export const GOOD_OUTPUT = '{"order":1,"total":12.5}\n{"order":3,"total":40}\n';

/** The files of a project in which `run orders` keeps two of three orders. */
export const GOOD_PROJECT: Readonly<Record<string, string>> = {
  'oxiflow.yaml': 'project:\n  name: shop\n',
  'input/orders.ndjson': ORDERS,
  'pipelines/orders.yaml': [
    'pipeline:',
    '  - name: read_file',
    '    config:',
    '      path: input/orders.ndjson',
    '  - name: parse_json',
    '  - name: filter',
    '    config:',
    '      where: total > 10',
    '  - name: write_file',
    '    config:',
    '      path: output/large.ndjson',
    '',
  ].join('\n'),
};

export const GOOD = GOOD_PROJECT['pipelines/orders.yaml'] ?? '';

/** The good pipeline with one text in place of another. */
export function orders(from: string, to: string): string {
  if (!GOOD.includes(from)) throw new Error(`the good pipeline has no ${from}`);
  return GOOD.replace(from, to);
}

export const read: [string, object] = ['read_file', { path: 'input/orders.ndjson' }];
export const write: [string, object] = ['write_file', { path: 'output/large.ndjson' }];
export const parse: [string] = ['parse_json'];
