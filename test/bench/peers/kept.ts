/**
 * What was measured so far. The whole takes long, so it can be measured in pieces (`--parts`, `--works`): pieces that belong
 * together, of one build on one machine with inputs of one size, are kept in a file until there is another ground.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Race, Runs } from '../report.ts';
import type { Workload } from '../works.ts';
import type { Growth } from './growth.ts';
import type { Profile } from './profile.ts';

/** Who runs, in the order of the tables; a race has those that do its work. */
export const ROLES = ['oxiflow', 'one thread', 'DuckDB', 'Polars', 'Node script'] as const;
export type Role = (typeof ROLES)[number];

export interface PeersRace extends Race {
  /** The role of each of the runs. */
  roles: Role[];
}

export interface Kept {
  /** Machine, versions and inputs, as they stand at the head of the report. */
  ground: [name: string, value: string][];
  bytes: number;
  /** When, and of which commits. */
  dates: string[];
  races: Partial<Record<Workload, PeersRace>>;
  growth: Growth[];
  start: Runs[];
  profiles: Profile[];
  large: { bytes: number; peaks: Partial<Record<Workload, number>> } | undefined;
}

type Measured = Partial<Pick<Kept, 'races' | 'growth' | 'start' | 'profiles' | 'large'>>;

/** The pieces in the file at `path` that were measured on the same ground, and the new ones over them; written there, too. */
export function keep(path: string, ground: Kept['ground'], bytes: number, date: string, measured: Measured): Kept {
  const empty: Kept = { ground, bytes, dates: [], races: {}, growth: [], start: [], profiles: [], large: undefined };
  // The file is of this module; one of another form is of an older build.
  const found: Kept | undefined = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
  const isSame = found !== undefined && JSON.stringify(found.ground) === JSON.stringify(ground);
  const before = isSame ? found : empty;
  const large = measured.large && {
    bytes: measured.large.bytes,
    peaks: { ...before.large?.peaks, ...measured.large.peaks },
  };
  const merged = <T extends { workload: Workload }>(old: T[], fresh: T[] = []): T[] => [
    ...old.filter(({ workload }) => !fresh.some((one) => one.workload === workload)),
    ...fresh,
  ];
  const kept: Kept = {
    ...before,
    dates: [...new Set([...before.dates, date])],
    races: { ...before.races, ...measured.races },
    growth: merged(before.growth, measured.growth),
    profiles: merged(before.profiles, measured.profiles),
    start: measured.start ?? before.start,
    large: large ?? before.large,
  };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(kept, null, 1));
  return kept;
}

export function runsOf({ roles, runs }: PeersRace, role: Role): Runs | undefined {
  return runs[roles.indexOf(role)];
}
