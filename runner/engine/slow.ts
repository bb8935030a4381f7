/** Work that may take long in silence says that it lives: first after two seconds, then every half minute. */

const FIRST_MS = 2000;
const AGAIN_MS = 30_000;

/** `doing`: what it is at, as in `publishing the outputs`. The result or the error is that of `work`. */
export async function sayIfSlow<T>(say: (message: string) => void, doing: string, work: Promise<T>): Promise<T> {
  const begun = performance.now();
  let timer = setTimeout(() => {
    say(`${doing} ...`);
    timer = setInterval(() => {
      const seconds = Math.round((performance.now() - begun) / 1000);
      say(`${doing}: ${seconds} s by now`);
    }, AGAIN_MS).unref();
  }, FIRST_MS).unref();
  try {
    return await work;
  } finally {
    // One function clears both kinds.
    clearTimeout(timer);
  }
}
