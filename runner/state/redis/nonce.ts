/** What tells one change from every other: see `prelude.ts`. */
import { randomBytes } from 'node:crypto';

/** Of this thread; the number behind it makes each nonce its own. */
const origin = randomBytes(9).toString('base64url');
let nonces = 0;

export function makeNonce(): string {
  return `${origin}.${(nonces++).toString(36)}`;
}
