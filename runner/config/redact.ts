/** Keeps secrets out of everything that is printed: which names look secret, and a registry that scrubs text. */
import type { Secret } from '../engine/secret.ts';

const GUARDED_NAME = /token|passw|passphrase|pwd|secret|key|credential|auth|dsn/i;
const SECRET_NAME =
  /(^|_)(token|password|passwd|passphrase|pwd|secret|credentials?|auth|dsn|api_?key|access_?key|secret_?key|private_?key)$/i;
/** What every shell sets. */
const WORKING_FOLDER = /^(OLD)?PWD$/;
const USER_INFO = /\b[A-Za-z][A-Za-z0-9+.-]*:\/\/[^\s/?#@]*:([^\s/?#]*)@/g;

/** The address of a state server without a user or a password in it: messages have to name that place. */
const PLACE = /^(?:rediss?|unix):\/\/[^@?#\s]*$/i;

/** A message must not quote the value of a variable with such a name. */
export function isGuardedName(name: string): boolean {
  return GUARDED_NAME.test(name) && !WORKING_FOLDER.test(name);
}

/** The text holds a URL with a password in it. */
export function hasUserInfo(text: string): boolean {
  return text.search(USER_INFO) >= 0;
}

/** Texts of fewer characters are not scrubbed: that would garble every message and hide nothing. */
const SHORTEST = 4;

/** Values of switches such as NPM_AUTH=true: no secret, and a part of every JSON document. */
const WORDS = new Set(['true', 'false', 'null', 'none', 'auto']);

/** The secret texts of a process. `redact` is for logs, events and errors just before they leave. */
export class SecretRegistry {
  readonly #texts = new Set<string>();
  #ordered: string[] | undefined;
  readonly #inClear = new Set<string>();

  /** The value of a secret field. */
  add(secret: Secret | string): void {
    const text = typeof secret === 'string' ? secret : secret.reveal();
    this.addPasswords(text);
    if (PLACE.test(text)) return;
    for (const form of [text, encodeURIComponentSafe(text), JSON.stringify(text).slice(1, -1)]) {
      if (form.length < SHORTEST || this.#texts.has(form)) continue;
      this.#texts.add(form);
      this.#ordered = undefined;
    }
  }

  /** The passwords of the URLs in any text. */
  addPasswords(text: string): void {
    for (const [, password] of text.matchAll(USER_INFO)) {
      if (password === undefined || password.length < SHORTEST) continue;
      for (const form of [password, decodeURIComponentSafe(password)]) {
        if (this.#texts.has(form)) continue;
        this.#texts.add(form);
        this.#ordered = undefined;
      }
    }
  }

  /** The value of a variable that a configuration can use: kept where its name says that it is a secret. */
  addVariable(name: string, value: string): void {
    if (SECRET_NAME.test(name) && !WORKING_FOLDER.test(name) && !WORDS.has(value.toLowerCase())) this.add(value);
    else this.addPasswords(value);
  }

  /** A file holds this secret as it is. `field`: what it is called there; `isDefault`: it is the default of a variable. */
  addInClear(place: string, field: string, text: string, isDefault: boolean): void {
    if (text.length < SHORTEST || WORDS.has(text.toLowerCase())) return;
    const isUrl = hasUserInfo(text);
    if (!isUrl && !(SECRET_NAME.test(field) && !WORKING_FOLDER.test(field))) return;
    const name = field.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_');
    const what = isUrl ? `the URL in "${field}" holds a password in clear` : `"${field}" holds a secret in clear`;
    const remedy = isDefault
      ? `take it out of the file and set the variable ${field} where the run starts, or in an --env-file`
      : `write \${${isUrl ? `${name}_PASSWORD` : name}} in its place and set that variable, or give it by --env-file`;
    this.#inClear.add(`${place}: ${what}; ${remedy}`);
  }

  /** Of every secret that stands in a file as it is: where, and what to do; never what it is. */
  get inClear(): readonly string[] {
    return [...this.#inClear];
  }

  /** `text` with every known secret as `***`. */
  redact(text: string): string {
    this.#ordered ??= [...this.#texts].sort((a, b) => b.length - a.length);
    let out = text;
    for (const secret of this.#ordered) out = out.replaceAll(secret, '***');
    return out;
  }
}

function encodeURIComponentSafe(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function decodeURIComponentSafe(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not percent-encoded after all: the text as it is.
    return text;
  }
}
