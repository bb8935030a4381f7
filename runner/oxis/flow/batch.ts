/** `batch`: records go on in groups: as the blocks that the steps behind it are given, or each group as one array. */
import * as z from 'zod/mini';
import type { BatchSpec } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';
import { defineBatch, field } from '../define.ts';

const MB = 1024 * 1024;
const DEFAULT_SIZE = 1000;
const DEFAULT_MS = 5000;
/** Records of a batch that only time or memory ends. */
const DEFAULT_MOST = 10_000;

/** Intake and output. */
const MOST_THREADS = 2;

const STRATEGIES = ['size', 'time', 'memory', 'size_or_time', 'size_or_memory', 'any'] as const;
type Strategy = (typeof STRATEGIES)[number];

const config = () =>
  z
    .strictObject({
      emit: field(
        z._default(z.literal(['records', 'array']), 'records'),
        'records: a batch is the unit of work of what follows; array: it becomes one record, an array.',
      ),
      strategy: field(
        z.pipe(
          z._default(z.string(), 'size'),
          z.transform((text: string, context): Strategy => {
            const name = strategyNamed(text);
            if (name !== undefined) return name;
            context.issues.push({ code: 'custom', message: `must be one of ${STRATEGIES.join(', ')}`, input: text });
            return z.NEVER;
          }),
        ),
        'What ends a batch: size, time, memory, size_or_time, size_or_memory, any (whichever comes first; also called hybrid).',
      ),
      batch_size: field(
        z._default(z.int().check(z.gte(1), z.lte(10_000_000)), DEFAULT_SIZE),
        'Records of a batch, where the strategy knows a size.',
        { unit: 'records' },
      ),
      max_batch_size: field(
        z.optional(z.int().check(z.gte(1), z.lte(10_000_000))),
        'Records of a batch at most, whatever the strategy; 10000 where only time or memory ends one.',
        { unit: 'records' },
      ),
      flush_interval_ms: field(
        z._default(z.int().check(z.gte(1), z.lte(86_400_000)), DEFAULT_MS),
        'How long a batch may take from its first record on, where the strategy knows a time.',
        { unit: 'milliseconds' },
      ),
      max_memory_mb: field(
        z._default(z.int().check(z.gte(1), z.lte(512)), 64),
        'Bytes of the records of a batch at most, whatever the strategy; one larger record is a batch of its own.',
        { unit: 'MB' },
      ),
      parallel_batches: field(
        z._default(z.int().check(z.gte(1), z.lte(64)), 1),
        'With threads: 2, batches that may wait to be taken while the next one fills.',
      ),
      preserve_order: field(
        z._default(z.boolean(), true),
        'false: the steps behind it may hand batches on in another order.',
      ),
      checkpoint_frequency: field(
        z.optional(z.int().check(z.gte(1))),
        'A checkpoint is asked for after so many batches, beside those that time asks for.',
        { unit: 'batches' },
      ),
    })
    .check(
      z.refine((c) => c.max_batch_size === undefined || !hasSize(c.strategy) || c.batch_size <= c.max_batch_size, {
        path: ['max_batch_size'],
        error: 'is smaller than batch_size',
      }),
    );

type Config = z.output<ReturnType<typeof config>>;

export const batch = defineBatch({
  name: 'batch',
  kind: 'batch',
  summary: 'Groups records by size, time or memory.',
  config,
  limits: { maxBatchSize: 10_000_000, maxMemoryMb: 512 },
  aliases: { memory_limit_mb: 'max_memory_mb' },
  batch: (c: Config, threads): BatchSpec => {
    if (threads > MOST_THREADS)
      throw new OxiError(
        'CONFIG_INVALID',
        `"threads" of "batch" is ${threads} and may be ${MOST_THREADS} at most: one takes records in, the other hands batches on`,
        { place: { field: 'threads' } },
      );
    return {
      emit: c.emit,
      maxRecords: hasSize(c.strategy) ? c.batch_size : (c.max_batch_size ?? DEFAULT_MOST),
      maxBytes: c.max_memory_mb * MB,
      maxMs: hasTime(c.strategy) ? c.flush_interval_ms : undefined,
      waiting: threads > 1 ? c.parallel_batches : 0,
      preserveOrder: c.preserve_order,
      checkpointEvery: c.checkpoint_frequency,
    };
  },
  idle: (c: Config, threads) => [
    ...(hasSize(c.strategy)
      ? []
      : [
          {
            field: 'batch_size',
            why: `the strategy "${c.strategy}" knows no size; "max_batch_size" bounds every batch`,
          },
        ]),
    ...(hasTime(c.strategy) ? [] : [{ field: 'flush_interval_ms', why: `the strategy "${c.strategy}" knows no time` }]),
    ...(hasSize(c.strategy)
      ? [{ field: 'max_batch_size', why: `with the strategy "${c.strategy}" a batch ends at "batch_size"` }]
      : []),
    ...(threads > 1 ? [] : [{ field: 'parallel_batches', why: 'batches wait for nobody without "threads: 2"' }]),
  ],
});

function hasTime(strategy: Strategy): boolean {
  return strategy === 'time' || strategy === 'size_or_time' || strategy === 'any';
}

function hasSize(strategy: Strategy): boolean {
  return strategy !== 'time' && strategy !== 'memory';
}

/** In any letter case, with or without underscores; `hybrid` is what `any` was called. */
function strategyNamed(text: string): Strategy | undefined {
  const plain = text.toLowerCase().replaceAll('_', '');
  return plain === 'hybrid' ? 'any' : STRATEGIES.find((name) => name.replaceAll('_', '') === plain);
}
