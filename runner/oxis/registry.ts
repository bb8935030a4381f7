/** Every oxi there is, by name: an explicit list. */
import type { Oxi } from '../engine/contracts.ts';
import type { OxiRegistry } from './define.ts';
import { readFile } from './files/read-file.ts';
import { readStdin } from './files/read-stdin.ts';
import { writeFile } from './files/write-file.ts';
import { writeStdout } from './files/write-stdout.ts';
import { batch } from './flow/batch.ts';
import { exec } from './flow/exec.ts';
import { tee } from './flow/tee.ts';
import { formatCsv } from './formats/format-csv.ts';
import { formatJson } from './formats/format-json.ts';
import { formatYaml } from './formats/format-yaml.ts';
import { jsonSelect } from './formats/json-select.ts';
import { parseCsv } from './formats/parse-csv.ts';
import { parseJson } from './formats/parse-json.ts';
import { dedupe } from './transforms/dedupe.ts';
import { filter } from './transforms/filter.ts';
import { flatten } from './transforms/flatten.ts';
import { json } from './transforms/json.ts';
import { limit } from './transforms/limit.ts';
import { map } from './transforms/map.ts';
import { sample } from './transforms/sample.ts';
import { validate } from './transforms/validate.ts';

const oxis: readonly Oxi[] = [
  readFile,
  writeFile,
  readStdin,
  writeStdout,
  parseJson,
  parseCsv,
  formatJson,
  formatCsv,
  formatYaml,
  jsonSelect,
  json,
  filter,
  map,
  batch,
  tee,
  exec,
  flatten,
  validate,
  dedupe,
  limit,
  sample,
];

export const registry: OxiRegistry = new Map(oxis.map((oxi) => [oxi.name, oxi]));
