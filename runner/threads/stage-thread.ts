/** The entry of a thread of a stage's pool, with the steps of the registry. */
import { makeSteps } from '../oxis/make.ts';
import { serveStage } from './serve-stage.ts';

serveStage(makeSteps);
