import { generateFile } from '../fixtures/generate.ts';
import { makeProject, pipelineText, MIDDLE } from './contenders.ts';
generateFile('/tmp/sb/in.ndjson', { seed: 7, bytes: 20e6 });
makeProject('/tmp/sb/p', { w1: pipelineText('events', MIDDLE.w1) }, 'monitoring: { interval_seconds: 86400 }\n');
