/**
 * What the engine asks of everybody else: the three contracts (Source, Step, Sink), the formats between them, and the
 * definition by which an oxi makes itself known. The engine imports no oxi; oxis, state and observe implement these.
 *
 * Glossary. *Record*: one JSON text. *Block*: bytes that hold whole records, and where each one stands. *Split*: a part of
 * the input that is read in order (a file). *Position*: where reading goes on. *Barrier*: a mark that flows through all
 * stages behind the records before it. *Mark*: what a sink holds durably at a barrier.
 */
export * from './contracts/framing.ts';
export * from './contracts/oxis.ts';
export * from './contracts/sinks.ts';
export * from './contracts/sources.ts';
export * from './contracts/steps.ts';
export * from './contracts/streams.ts';
