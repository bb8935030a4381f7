/** What a server says of itself (INFO), as far as the state depends on it. */

interface ServerInfo {
  /** Empty where it does not tell. */
  version: string;
  /** It knows all commands that are used. */
  isRecent: boolean;
  /** What it does when its memory is full. */
  policy: string | undefined;
  /** It writes a log (`appendonly`); undefined where it does not tell. */
  hasLog: boolean | undefined;
  /** It says when something is in its log on disk. */
  canAskForLog: boolean;
  /** Replicas that are in step. */
  replicas: number;
}

export function infoOf(text: string): ServerInfo {
  const [, version = '', major = '', minor = ''] = /^redis_version:((\d+)\.(\d+)\S*)/m.exec(text) ?? [];
  const since = (first: number, second: number): boolean =>
    Number(major) > first || (Number(major) === first && Number(minor) >= second);
  const log = /^aof_enabled:([01])/m.exec(text)?.[1];
  return {
    version,
    isRecent: version === '' || since(6, 2),
    policy: /^maxmemory_policy:(\S+)/m.exec(text)?.[1],
    hasLog: log === undefined ? undefined : log === '1',
    canAskForLog: version !== '' && since(7, 2),
    replicas: text.match(/^slave\d+:.*\bstate=online\b/gm)?.length ?? 0,
  };
}
