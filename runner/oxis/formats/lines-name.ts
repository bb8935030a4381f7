/** A file of JSON lines by its name, packed or not. */
export function isLinesName(name: string): boolean {
  return /\.(ndjson|jsonl)(\.(gz|zst))?$/i.test(name);
}
