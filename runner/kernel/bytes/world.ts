/** What expressions find beside the record; undefined where that is not known yet, and the program is only looked at. */
export interface World {
  params: ReadonlyMap<string, unknown>;
  env: ReadonlyMap<string, unknown>;
}
