/** Paths that no file system takes, said in one sentence for all who name a file. */
import { OxiError } from '../../engine/errors.ts';

/** Bytes of one name of a path, on every file system in use. */
const NAME_BYTES = 255;
/** Characters of a path that a message shows. */
const SHOWN = 40;

/** Throws OxiError CONFIG_INVALID where `path` holds a NUL. */
export function refuseNul(path: string, step: string): void {
  if (!path.includes('\0')) return;
  throw new OxiError(
    'CONFIG_INVALID',
    `step "${step}", field "path": ${JSON.stringify(path)} holds a NUL character, which no file name can have`,
    { place: { step, field: 'path' } },
  );
}

/** A name of the path, with `suffix` behind it, is longer than a file system takes. */
export function isTooLong(path: string, suffix = ''): boolean {
  return `${path}${suffix}`.split('/').some((name) => Buffer.byteLength(name) > NAME_BYTES);
}

export function tooLong(path: string, step: string): OxiError {
  const shown = path.length > SHOWN ? `${Array.from(path).slice(0, SHOWN).join('')}...` : path;
  return new OxiError(
    'CONFIG_INVALID',
    `step "${step}", field "path": ${shown} is longer than a file system takes (${NAME_BYTES} bytes a name); choose a shorter one`,
    { place: { step, field: 'path' } },
  );
}
