/** What goes wrong with the files that a pipeline reads and writes. */
import { type BadCase, orders } from './case.ts';

export const fileCases: readonly BadCase[] = [
  {
    title: 'a pipeline that may not be read',
    forbidden: ['pipelines/orders.yaml'],
    code: 126,
    message:
      'pipelines/orders.yaml: permission denied (EACCES); change its owner or mode, or run as a user who has the right',
  },
  {
    title: 'a project file that may not be read',
    forbidden: ['oxiflow.yaml'],
    code: 126,
    message: 'oxiflow.yaml: permission denied (EACCES); change its owner or mode, or run as a user who has the right',
  },
  {
    title: 'an input that may not be read',
    forbidden: ['input/orders.ndjson'],
    code: 126,
    message:
      'step "read_file": input/orders.ndjson: permission denied (EACCES); change its owner or mode, or run as a user who has the right',
  },
  {
    title: 'an output folder that may not be written',
    forbidden: ['output'],
    folders: ['output'],
    code: 126,
    message:
      'step "write_file": output/large.ndjson: permission denied (EACCES); change its owner or mode, or run as a user who has the right',
  },
  {
    title: 'a state folder that may not be written',
    forbidden: ['.oxiflow'],
    folders: ['.oxiflow'],
    code: 126,
    message:
      'ROOT/.oxiflow/state.db: permission denied (EACCES); change its owner or mode, or run as a user who has the right',
  },
  {
    title: 'an input that is missing',
    pipeline: orders('input/orders.ndjson', 'input/rides.ndjson'),
    code: 1,
    message:
      'step "read_file": input/rides.ndjson: no such file (looked in ROOT); correct "path", or put the file there',
  },
  {
    title: 'a pattern that matches nothing',
    pipeline: orders('input/orders.ndjson', '"input/*.json"'),
    code: 1,
    message: 'step "read_file": no file matches input/*.json (looked in ROOT)',
  },
  {
    title: 'an input that is a folder',
    pipeline: orders('input/orders.ndjson', 'input'),
    code: 2,
    message: 'step "read_file": input is a folder; name a file in it, or a pattern such as "input/*.json"',
  },
  {
    title: 'an output that is there',
    pipeline: `${orders('output/large.ndjson', 'output/large.ndjson\n      overwrite: false')}`,
    files: { 'output/large.ndjson': 'of yesterday\n' },
    code: 2,
    message:
      'step "write_file": output/large.ndjson exists and "overwrite" is false: move it away, or set "overwrite: true"',
  },
  {
    title: 'an output that is a folder',
    pipeline: orders('output/large.ndjson', 'input'),
    code: 2,
    message: 'step "write_file": input is a folder; name a file',
  },
  {
    title: 'an output below a file',
    pipeline: orders('output/large.ndjson', 'oxiflow.yaml/large.ndjson'),
    code: 2,
    message: 'step "write_file": oxiflow.yaml/large.ndjson lies below a file; name a folder',
  },
  {
    title: 'no folder for the output',
    pipeline: orders('output/large.ndjson', 'output/large.ndjson\n      create_dirs: false'),
    code: 2,
    message: 'step "write_file": the folder of output/large.ndjson does not exist and "create_dirs" is false',
  },
];
