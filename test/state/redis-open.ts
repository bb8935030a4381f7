/** Stores in the servers of the tests. */
import { readFileSync } from 'node:fs';
import type { RedisSettings } from '../../runner/state/redis/connection.ts';
import { keysOf } from '../../runner/state/redis/keys.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { StateStore, StoreOptions } from '../../runner/state/store.ts';

export const PREFIX = 'oxiflow:state';
export const keys = keysOf(PREFIX);

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const COMMANDS = /and the commands `([a-z\s]+)`/.exec(README)?.[1]?.split(/\s+/) ?? [];
/** The rights that the README names. */
export const RIGHTS = ['~oxiflow:state*', '&oxiflow:state*', '-@all', ...COMMANDS.map((name) => `+${name}`)];

export function settingsFor(connectionUrl: string, more: Partial<RedisSettings> = {}): RedisSettings {
  return { connectionUrl, keyPrefix: PREFIX, clusterMode: false, lockTimeoutMs: 30_000, projectRoot: '/', ...more };
}

/** `location`: as a store tells it. */
export function openRedisAt(location: string, clusterMode: boolean, options: StoreOptions = {}): StateStore {
  return openRedisStore(settingsFor(location.split(' ')[0] ?? '', { clusterMode }), options);
}
