/** Which kind of file system a folder is on, and what that says of its locks and clocks. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../engine/errors.ts';

/** Type numbers of file systems on which SQLite's log is not safe, as statfs(2) on Linux gives them. */
const NETWORK_FILE_SYSTEMS = new Map([
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xfe534d42, 'smb2'],
  [0xff534d42, 'cifs'],
  [0x65735546, 'fuse'],
  [0x01021997, '9p'],
  [0x00c36400, 'ceph'],
  [0x5346414f, 'afs'],
  [0x73757245, 'coda'],
  [0x0bd00bd0, 'lustre'],
  [0x47504653, 'gpfs'],
  [0x7461636f, 'ocfs2'],
  [0x01161970, 'gfs2'],
  [0x786f4256, 'vboxsf'],
]);

/** Of these every client stamps its files by its own clock, or may. */
const STAMPED_BY_CLIENTS = new Set(['fuse', 'ceph', 'afs', 'coda', 'lustre', 'gpfs', 'ocfs2', 'gfs2']);

/** Whether the times of files there all come from one clock: that of the server, or of this machine where it is its own disk. */
export async function hasOneClock(folder: string, probe: typeof statfs = statfs): Promise<boolean> {
  // Elsewhere nothing is known of file systems.
  if (process.platform !== 'linux') return false;
  const network = await networkFileSystem(folder, probe);
  return network === undefined || !STAMPED_BY_CLIENTS.has(network);
}

/** The network file system that holds `folder` (or the folder above it that exists), or undefined. */
export async function networkFileSystem(folder: string, probe: typeof statfs = statfs): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    // The kernel's number has 32 bits, some systems hand it out as a negative one.
    return NETWORK_FILE_SYSTEMS.get((await probe(folder)).type >>> 0);
  } catch (error) {
    const above = dirname(folder);
    // Where nothing can be found out, opening the state will say what is wrong.
    if (errnoOf(error) !== 'ENOENT' || above === folder) return undefined;
    return networkFileSystem(above, probe);
  }
}
