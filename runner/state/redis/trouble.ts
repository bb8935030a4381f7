/** What an error of the driver or the server means: worth another try, or the end, and in which words. */
import { errnoOf, OxiError } from '../../engine/errors.ts';

export type Trouble =
  /** It may pass: a restart, a failover, a server that is busy or paused, a cut connection. */
  | { kind: 'passing'; reason: string }
  | { kind: 'final'; error: OxiError }
  /** A script found something wrong with what is stored. */
  | { kind: 'stored'; fault: 'damaged' | 'newer' | 'older'; part: string; text: string }
  /** A script has to be asked again, with the streams of these parts among its keys: see `prelude.ts`. */
  | { kind: 'unnamed'; parts: string[] }
  | { kind: 'bug' };

const PASSING = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|UNBLOCKED|OOM)\b/;
const LOST_CONNECTION =
  /^(Connection is closed|Too many Cluster redirections|Command aborted|Failed to refresh slots|None of startup nodes|connect E|All keys|Cluster isn't ready|Cluster is (ended|closed)|timed out|Stream isn't writeable|Socket timeout)/i;

/** `location`: where the server is, for people. */
export function judge(error: unknown, location: string): Trouble {
  const lastNode = error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined;
  if (lastNode instanceof Error) return judge(lastNode, location);
  if (error instanceof OxiError) return { kind: 'final', error };
  if (!(error instanceof Error)) return { kind: 'bug' };
  const message = error.message;
  const stored = /<oxi (damaged|newer|older)\|([^|]*)\|([^>]*)>/.exec(message);
  const unnamed = /<oxi unnamed\|([^|>]+)\|>/.exec(message)?.[1];
  if (unnamed !== undefined) return { kind: 'unnamed', parts: unnamed.split(',') };
  const denied = /<oxi denied\|([a-z]+)\|>/.exec(message)?.[1];
  if (denied !== undefined) return { kind: 'final', error: refused('NOPERM', `the '${denied}' command`, location) };
  if (stored !== null)
    return {
      kind: 'stored',
      fault: stored[1] as 'damaged' | 'newer' | 'older',
      part: stored[2] ?? '',
      text: stored[3] ?? '',
    };
  // A script's own errors begin with ERR in old servers and with the code in new ones.
  const code = /\b(WRONGPASS|NOAUTH|NOPERM)\b|invalid password|user executing the script/i.exec(message);
  if (code !== null) return { kind: 'final', error: refused(code[1], message, location) };
  // To a cluster's client it never comes.
  if (/^(MOVED|ASK) /.test(message))
    return {
      kind: 'final',
      error: config(`${location} is part of a cluster: set state_manager.redis.cluster_mode: true`),
    };
  if (/^ERR This instance has cluster support disabled/.test(message))
    return { kind: 'final', error: config(`${location} is no cluster: take state_manager.redis.cluster_mode out`) };
  if (/SELECT is not allowed in cluster mode|DB index is out of range/i.test(message))
    return { kind: 'final', error: config(`${location} has no database of that number (a cluster has only 0)`) };
  // The second: how a server before 6.2 takes NOMKSTREAM.
  if (/unknown command|Invalid stream ID specified/i.test(message))
    return { kind: 'final', error: tooOld(location, serverWord(message)) };
  const errno = errnoOf(error);
  if (errno !== undefined && /^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_SSL|ERR_OSSL)/.test(errno))
    return {
      kind: 'final',
      error: config(`${location}: its certificate is not accepted (${errno}); name the authority with ?ca=FILE`),
    };
  if (errno !== undefined) return { kind: 'passing', reason: errno };
  // It has no room for one more connection now.
  if (/^ERR max number of clients/.test(message)) return { kind: 'passing', reason: serverWord(message) };
  if (PASSING.test(message) || LOST_CONNECTION.test(message)) return { kind: 'passing', reason: serverWord(message) };
  const inside = /\b(READONLY|MISCONF|OOM|NOREPLICAS|LOADING)\b/.exec(message);
  if (inside !== null) return { kind: 'passing', reason: serverWord(message) };
  return { kind: 'bug' };
}

function refused(code: string | undefined, message: string, location: string): OxiError {
  if (code === 'NOPERM' || message.includes('user executing the script')) {
    const command = /'([a-z|]+)' command/i.exec(message)?.[1];
    const what =
      command !== undefined
        ? `the command ${command}`
        : /\bkeys?\b/.test(message)
          ? 'its keys'
          : /channel/.test(message)
            ? 'its channels'
            : undefined;
    return new OxiError(
      'PERMISSION_DENIED',
      `${location}: the user may not do what the state needs${what === undefined ? '' : ` (${what})`}; give it the rights that the README names`,
    );
  }
  return new OxiError(
    'PERMISSION_DENIED',
    `${location}: the server refuses ${code === 'NOAUTH' ? 'to serve without a password' : 'this user or password'}; see the address that it is given (state_manager.redis.connection_url, or OXIFLOW_STATE_URL)`,
  );
}

/** `found`: what it is, or what it said. */
export function tooOld(location: string, found: string): OxiError {
  return config(`${location} is no Redis server of version 6.2 or later: ${found}`);
}

function config(text: string): OxiError {
  return new OxiError('CONFIG_INVALID', text);
}

/** The first words of a server, which never hold what was sent. */
function serverWord(message: string): string {
  const code = /\b(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|OOM)\b/.exec(message)?.[1];
  if (code === 'OOM') return 'it has reached its maxmemory';
  if (code === 'TRYAGAIN') return 'its keys are on their way to another server of the cluster (TRYAGAIN)';
  if (code === 'MISCONF') return "it can't write its data to disk (MISCONF)";
  return code ?? message.split('\n')[0]?.slice(0, 120) ?? '';
}
