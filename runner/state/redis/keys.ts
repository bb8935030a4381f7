/** The keys of the backend `redis`. All of one run share a slot of a cluster; the rest have one of their own each. */
import { OxiError } from '../../engine/errors.ts';
import { folderName } from '../payload.ts';

export interface Keys {
  /** The hash that holds a run; see `prelude.ts`. */
  run(runKey: string): string;
  /** The stream of the documents of a part, as the scripts name it. */
  documents(runKey: string, part: string): string;
  requests(runKey: string): string;
  /** Damaged documents that `repair` set aside. */
  aside(runKey: string): string;
  /** The channel on which it is said that a request has come. */
  channel(runKey: string): string;
  /** Identity and format of the store. */
  store: string;
  /** The set of run keys. */
  runs: string;
  /** Those that are unfinished: see `Unfinished`. */
  unfinished: string;
  history: string;
}

export function keysOf(prefix: string): Keys {
  // An empty pair of braces makes the server count the whole key: one run would be torn apart.
  if (prefix.includes('{}'))
    throw new OxiError('CONFIG_INVALID', 'state_manager.redis.key_prefix must not hold {}', {
      place: { field: 'state_manager.redis.key_prefix' },
    });
  // A store mostly works on one run, and its name is a hash.
  let last: { runKey: string; run: string; requests: string; aside: string; channel: string } | undefined;
  const of = (runKey: string): NonNullable<typeof last> => {
    if (last?.runKey === runKey) return last;
    const slot = `${prefix}:{${folderName(runKey)}}`;
    last = {
      runKey,
      run: `${slot}:run`,
      requests: `${slot}:requests`,
      aside: `${slot}:aside`,
      channel: `${slot}:wake`,
    };
    return last;
  };
  return {
    run: (runKey) => of(runKey).run,
    documents: (runKey, part) => `${of(runKey).run}:${part}`,
    requests: (runKey) => of(runKey).requests,
    aside: (runKey) => of(runKey).aside,
    channel: (runKey) => of(runKey).channel,
    store: `${prefix}:store`,
    runs: `${prefix}:runs`,
    unfinished: `${prefix}:unfinished`,
    history: `${prefix}:history`,
  };
}

/** The key is one of those that a run has for itself. */
export function isOfRun(key: string): boolean {
  return /:\{[^{}]+\}:(run(:[a-z]+-[0-9a-f]+|:run)?|requests|aside)$/.test(key);
}
