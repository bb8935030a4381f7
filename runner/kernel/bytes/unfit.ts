/** A program that the byte kernel can't hold: its stage runs on the value tier. `message` says why, as a clause. */
export class Unfit extends Error {
  /** The step that is to blame, by its place. */
  owner: number | undefined;
}
