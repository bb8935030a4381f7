/**
 * The address of a Redis server: `redis://user:password@host:port/db`, `rediss://` with TLS, `unix:///path`. Of a cluster several
 * `host:port` may be named, with commas. Behind a `?`: `db`, and for TLS the files `ca`, `cert`, `key` (paths from the project
 * folder) and `servername`. What is percent-encoded is decoded.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ioError, OxiError } from '../../engine/errors.ts';

export interface RedisAddress {
  /** Where it is, for people: no user, no password. */
  location: string;
  nodes: { host: string; port: number }[];
  /** Of a socket, in place of nodes. */
  path: string | undefined;
  username: string | undefined;
  password: string | undefined;
  db: number;
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer; servername?: string } | undefined;
}

export const PORT = 6379;
const FIELD = 'state_manager.redis.connection_url';

/**
 * `folder`: that paths count from. `from`: where the address stands, for messages. Throws CONFIG_INVALID, never with the address in
 * it; IO errors for the files it names.
 */
export function parseAddress(text: string, folder: string, from = FIELD): RedisAddress {
  const invalid = (what: string): OxiError =>
    new OxiError('CONFIG_INVALID', `${from} ${what}`, { place: { field: FIELD } });
  const found = /^(redis|rediss|unix):\/\/(?:([^/?#]*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(text.trim());
  if (found === null) throw invalid('is no redis://, rediss:// or unix:// address');
  const [, scheme = '', who, hosts = '', path = '', query = ''] = found;
  const kind = scheme.toLowerCase();
  const options = new URLSearchParams(query);
  const colon = who?.indexOf(':') ?? -1;
  const user = who === undefined ? '' : decode(colon < 0 ? who : who.slice(0, colon), invalid);
  const password = who === undefined || colon < 0 ? undefined : decode(who.slice(colon + 1), invalid);
  const known = kind === 'rediss' ? ['db', 'ca', 'cert', 'key', 'servername'] : ['db'];
  for (const name of options.keys())
    if (!known.includes(name)) throw invalid(`has an unknown option; there are: ${known.join(', ')}`);
  const db = Number((kind === 'unix' ? '' : path.slice(1)) || options.get('db') || 0);
  if (!Number.isSafeInteger(db) || db < 0)
    throw invalid('names a database that is no number; signs like / in a password are percent-encoded (%2F)');
  const nodes = kind === 'unix' ? [] : hosts.split(',').map((host) => parseNode(host, invalid));
  if (kind === 'unix' && (path === '' || hosts !== ''))
    throw invalid('names no socket: it is unix:///path/to/redis.sock');
  const place = kind === 'unix' ? decode(path, invalid) : nodes.map(shownNode).join(',');
  return {
    location: `${kind}://${place}${db === 0 ? '' : kind === 'unix' ? `?db=${db}` : `/${db}`}`,
    nodes,
    path: kind === 'unix' ? decode(path, invalid) : undefined,
    username: user === '' ? undefined : user,
    password: password === '' ? undefined : password,
    db,
    tls: kind === 'rediss' ? tlsOf(options, folder, from) : undefined,
  };
}

export function shownNode({ host, port }: { host: string; port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function parseNode(text: string, invalid: Refuse): { host: string; port: number } {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/i.exec(text);
  const port = Number(found?.[3] ?? PORT);
  if (found === null || port === 0 || port > 65_535) throw invalid('names no host and port: it is redis://host:port');
  return { host: found[1] ?? (found[2] || 'localhost'), port };
}

function tlsOf(options: URLSearchParams, folder: string, from: string): RedisAddress['tls'] {
  const file = (name: string): Buffer | undefined => {
    const path = options.get(name);
    if (path === null) return undefined;
    try {
      return readFileSync(resolve(folder, path));
    } catch (error) {
      throw ioError(error, `${from}: ${name}: ${path}`, { file: path });
    }
  };
  const [ca, cert, key, servername] = [file('ca'), file('cert'), file('key'), options.get('servername')];
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), ...(servername && { servername }) };
}

function decode(text: string, invalid: Refuse): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('has a % that encodes nothing: write it as %25');
  }
}

type Refuse = (what: string) => OxiError;
