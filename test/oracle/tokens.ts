/**
 * JSON text as a tree of its own tokens, for the oracle: members in source order with the text they had, so that what nobody
 * touches can be printed as it came. Slow and plain on purpose, and it shares no code with the runner.
 */

interface Member {
  /** The key as a string; `keyText` is its token, quotes included. */
  key: string;
  keyText: string;
  value: Node;
}

export type Node =
  | { kind: 'object'; members: Member[] }
  | { kind: 'array'; items: Node[] }
  | { kind: 'token'; text: string };

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Parses one JSON text. `JSON.parse` says first whether it is one. */
export function parse(text: string): Node {
  JSON.parse(text);
  const tokens = text.match(TOKEN) ?? [];
  let next = 0;
  const take = (): string => {
    const token = tokens[next];
    if (token === undefined) throw new Error(`the text ended early: ${text}`);
    next += 1;
    return token;
  };
  const value = (): Node => {
    const token = take();
    if (token === '[') {
      const items: Node[] = [];
      while (tokens[next] !== ']') {
        items.push(value());
        if (tokens[next] === ',') next += 1;
      }
      next += 1;
      return { kind: 'array', items };
    }
    if (token !== '{') return { kind: 'token', text: token };
    const members: Member[] = [];
    while (tokens[next] !== '}') {
      const keyText = take();
      next += 1; // the colon
      const key = keyText.includes('\\') ? String(JSON.parse(keyText)) : keyText.slice(1, -1);
      members.push({ key, keyText, value: value() });
      if (tokens[next] === ',') next += 1;
    }
    next += 1;
    return { kind: 'object', members };
  };
  return value();
}

/** The tree as compact JSON, every token as it was. */
export function print(node: Node): string {
  if (node.kind === 'token') return node.text;
  if (node.kind === 'array') return `[${node.items.map(print).join(',')}]`;
  return `{${node.members.map((member) => `${member.keyText}:${print(member.value)}`).join(',')}}`;
}

/** A node for a computed value, in the form of `JSON.stringify`. */
export function made(value: string | number | boolean | null): Node {
  return { kind: 'token', text: JSON.stringify(value) };
}

function membersOf(node: Node): Member[] {
  if (node.kind !== 'object') throw new Error(`not an object: ${print(node)}`);
  return node.members;
}

/**
 * The value under `key`, or undefined. Touching a key leaves one member of that name: the last one, at the place of the first.
 */
export function touch(node: Node, key: string): Node | undefined {
  const members = membersOf(node);
  const same = members.filter((member) => member.key === key);
  const last = same.at(-1);
  if (last === undefined) return undefined;
  if (same.length > 1) {
    const place = members.findIndex((member) => member.key === key);
    members.splice(0, members.length, ...members.filter((member, i) => i === place || member.key !== key));
    members[place] = last;
  }
  return last.value;
}

/** Follows names and positions from `node`; the value as JavaScript has it. Fails where it is not there. */
export function read(node: Node, ...path: (string | number)[]): unknown {
  let at: Node | undefined = node;
  for (const part of path) {
    if (at === undefined) break;
    if (typeof part === 'string') at = touch(at, part);
    else at = at.kind === 'array' ? at.items[part] : undefined;
  }
  if (at === undefined) throw new Error(`no ${path.join('.')} in ${print(node)}`);
  return JSON.parse(print(at));
}

/** Puts `value` under `key`: in place of the old value, or last. */
export function put(node: Node, key: string, value: Node): void {
  touch(node, key);
  const members = membersOf(node);
  const member = members.find((one) => one.key === key);
  if (member === undefined) members.push({ key, keyText: JSON.stringify(key), value });
  else member.value = value;
}

/** Gives the member `from` the name `to`, at its place; another member of that name goes. */
export function rename(node: Node, from: string, to: string): void {
  if (touch(node, from) === undefined) return;
  keep(node, (key) => key !== to);
  for (const member of membersOf(node)) {
    if (member.key !== from) continue;
    member.key = to;
    member.keyText = JSON.stringify(to);
  }
}

/** Keeps the members that `wanted` says. */
export function keep(node: Node, wanted: (key: string) => boolean): void {
  const members = membersOf(node);
  members.splice(0, members.length, ...members.filter((member) => wanted(member.key)));
}
