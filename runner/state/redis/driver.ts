/** The driver, in a chunk of its own: `load.ts` loads it when a store is opened that is in Redis. */
export { Cluster, Redis } from 'ioredis';
