/** The fields that the steps of a pass touch, as a tree: what the scan of a record has to find, and nothing else. */
import type { FieldPath } from '../engine/contracts.ts';

/** A key where records of the stream had it last: they are alike, so it is looked for there first. */
interface Habit {
  /** In quotes, with the colon. */
  readonly key: Buffer;
  readonly child: PathNode | undefined;
}

export interface PathNode {
  readonly name: string;
  /** The key in quotes, as it stands in a record when nothing is escaped. */
  readonly quoted: Buffer;
  /** The same as `JSON.stringify` writes it. */
  readonly json: Buffer;
  /** Place among the children of its parent. */
  readonly id: number;
  readonly children: PathNode[];
  /** By the place of the member in the object. */
  readonly habits: Habit[];
  /** Keys that were not where they were expected. */
  surprises: number;
  readonly parent: PathNode | undefined;
}

function node(name: string, id: number, parent: PathNode | undefined): PathNode {
  const quoted = Buffer.from(`"${name}"`);
  const json = Buffer.from(JSON.stringify(name));
  return { name, quoted, json, id, children: [], habits: [], surprises: 0, parent };
}

export class PathTree {
  readonly root: PathNode = node('', 0, undefined);
  readonly #known = new Map<FieldPath, PathNode>();

  constructor(paths: readonly FieldPath[]) {
    for (const path of paths) this.#known.set(path, this.#add(path));
  }

  #add(path: FieldPath): PathNode {
    let at = this.root;
    for (const name of path) {
      let child = at.children.find((candidate) => candidate.name === name);
      if (child === undefined) {
        child = node(name, at.children.length, at);
        at.children.push(child);
      }
      at = child;
    }
    return at;
  }

  /** The node of a path that some step declared; asking for another one is a bug of that step. */
  node(path: FieldPath): PathNode {
    let found = this.#known.get(path);
    if (found === undefined) {
      found = this.root;
      for (const name of path) {
        const child: PathNode | undefined = found.children.find((candidate) => candidate.name === name);
        if (child === undefined)
          throw new Error(`the field ${path.join('.')} is used and was not declared in "touches"`);
        found = child;
      }
      this.#known.set(path, found);
    }
    return found;
  }
}
