/** Makes the steps of a stage from plain data; used by the main thread and by every thread of a pool alike. */
import type { MakeSteps } from '../engine/stage-spec.ts';
import { registry } from './registry.ts';

/** `debug`: where steps say what whoever looks closely wants to know. */
export const stepMaker =
  (debug?: (message: string, step: string) => void): MakeSteps =>
  (spec) =>
    spec.steps.map(({ id, oxi, config }) => {
      const definition = registry.get(oxi);
      if (
        definition === undefined ||
        !('make' in definition) ||
        definition.kind === 'source' ||
        definition.kind === 'sink'
      )
        throw new Error(`${oxi} is no step of a stage`);
      return definition.make(config as never, {
        projectRoot: spec.projectRoot,
        stepId: id,
        tier: spec.tier,
        debug: debug && ((message) => debug(message, id)),
      });
    });

export const makeSteps = stepMaker();
