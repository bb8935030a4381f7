/** Unpacks a file of members that all are spaces; prints how many bytes came out and the peak of the process in MB. */
import { readFileSync } from 'node:fs';
import { readAllSizes, textOf } from './text-source.ts';

const [path = ''] = process.argv.slice(2);
const size = await readAllSizes(textOf(readFileSync(path), path, { maxExpansion: 1e9 }));
process.stdout.write(JSON.stringify({ size, peakMb: process.resourceUsage().maxRSS / 1024 }));
