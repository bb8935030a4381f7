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

/** Disks and memory of one machine, whose own clock stamps the files. */
const LOCAL_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x2fc12fc1, // zfs
  0xf2f52010, // f2fs
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs, of containers
  0x3153464a, // jfs
  0x52654973, // reiserfs
  0x7366746e, // ntfs3
  0x2011bab0, // exfat
  0x4d44, // vfat
]);

/** Of these the server stamps the files. */
const STAMPED_BY_THE_SERVER: ReadonlySet<string | undefined> = new Set(['nfs', 'smb', 'smb2', 'cifs', '9p', 'vboxsf']);

/**
 * Whether the times of files there all come from one clock: that of the server, or of this machine where it is its own disk. Of a file
 * system that is none of those known here it is not taken for granted.
 */
export async function hasOneClock(folder: string, probe: typeof statfs = statfs): Promise<boolean> {
  // Elsewhere nothing is known of file systems.
  if (process.platform !== 'linux') return false;
  const type = await typeOf(folder, probe);
  return (
    type !== undefined && (LOCAL_FILE_SYSTEMS.has(type) || STAMPED_BY_THE_SERVER.has(NETWORK_FILE_SYSTEMS.get(type)))
  );
}

/** The network file system that holds `folder` (or the folder above it that exists), or undefined. */
export async function networkFileSystem(folder: string, probe: typeof statfs = statfs): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  return NETWORK_FILE_SYSTEMS.get((await typeOf(folder, probe)) ?? -1);
}

/** The number of its kind; undefined where that can't be found out: opening the state will say what is wrong. */
async function typeOf(folder: string, probe: typeof statfs): Promise<number | undefined> {
  try {
    // The kernel's number has 32 bits, some systems hand it out as a negative one.
    return (await probe(folder)).type >>> 0;
  } catch (error) {
    const above = dirname(folder);
    return errnoOf(error) !== 'ENOENT' || above === folder ? undefined : typeOf(above, probe);
  }
}
