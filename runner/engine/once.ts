/** What is dear to make and not always needed: schemas, above all. Start-up counts. */

/** Makes a value at its first use. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
