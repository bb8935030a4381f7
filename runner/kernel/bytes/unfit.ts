/** A program that the byte kernel can't hold: its stage runs on the value tier. `message` says why, as a clause. */
export class Unfit extends Error {}
