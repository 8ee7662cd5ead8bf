// SPDX-License-Identifier: GPL-2.0-only

/** JSON with comments and trailing commas, read so that every value knows its place in the text. */
import { createScanner, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import type { Problem } from './place.ts';

/** More is not a case. */
export const MAX_BYTES = 1 << 20;
const MAX_DEPTH = 32;

/** jsonc-parser's token numbers; it declares them as a const enum, which is not there at run time. */
const OPEN_BRACE = 1;
const CLOSE_BRACE = 2;
const OPEN_BRACKET = 3;
const CLOSE_BRACKET = 4;
const END = 17;

export interface Document {
  readonly value: unknown;
  readonly root: Node;
}

/** The document, unless there are problems: not JSONC, too deep, a key twice. */
export function parse(text: string): { document: Document | null; problems: Problem[] } {
  const errors: ParseError[] = [];
  let root: Node | undefined;
  try {
    root = parseTree(text, errors, { allowTrailingComma: true, disallowComments: false });
  } catch (e) {
    // The parser recurses, and its stack has an end.
    if (!(e instanceof RangeError)) throw e;
    return { document: null, problems: [tooDeep(text)] };
  }
  if (root === undefined && errors.every(({ error }) => printParseErrorCode(error) === 'ValueExpected')) {
    const message = 'the file is empty: expected a case, { … }';
    return { document: null, problems: [{ offset: 0, length: 1, message }] };
  }
  const problems = errors.map((error) => syntax(text, error));
  if (root === undefined || problems.length > 0) return { document: null, problems };
  if (depthOf(root) > MAX_DEPTH) return { document: null, problems: [tooDeep(text)] };
  const value = plainValue(root, problems);
  return { document: problems.length > 0 ? null : { value, root }, problems };
}

function depthOf(node: Node): number {
  let deepest = 0;
  for (const child of node.children ?? []) deepest = Math.max(deepest, depthOf(child));
  return node.type === 'array' || node.type === 'object' ? deepest + 1 : deepest;
}

function tooDeep(text: string): Problem {
  const message = `values nested more than ${MAX_DEPTH} deep: no case needs that`;
  return { offset: deeperThan(text, MAX_DEPTH) ?? 0, length: 1, message };
}

/** Where nesting exceeds the limit. */
function deeperThan(text: string, limit: number): number | null {
  const scanner = createScanner(text, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== END; token = scanner.scan()) {
    if (token === OPEN_BRACE || token === OPEN_BRACKET) depth++;
    else if (token === CLOSE_BRACE || token === CLOSE_BRACKET) depth--;
    if (depth > limit) return scanner.getTokenOffset();
  }
  return null;
}

const WORDS: Readonly<Record<string, string>> = {
  InvalidSymbol:
    'this is no JSON value: expected a string in double quotes, a number, true, false, null, [ or {',
  InvalidNumberFormat: 'this is no JSON number: hexadecimal ones are strings, "0x1000"',
  PropertyNameExpected: 'expected a key in double quotes',
  ValueExpected: 'expected a value',
  ColonExpected: "expected ':' after the key",
  CommaExpected: "expected ',' before this",
  CloseBraceExpected: "expected '}' to close the object",
  CloseBracketExpected: "expected ']' to close the list",
  EndOfFileExpected: 'the case ends before this: expected nothing more',
  InvalidCommentToken: 'this is no comment: expected // or /* … */',
  UnexpectedEndOfComment: 'the comment is not closed: expected */',
  UnexpectedEndOfString: 'the string is not closed: expected "',
  UnexpectedEndOfNumber: 'the number is cut short',
  InvalidUnicode: 'this is no \\uXXXX escape',
  InvalidEscapeCharacter: 'no such escape: expected one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX',
  InvalidCharacter: 'control characters must be escaped in a string',
};

function syntax(text: string, { error, offset, length }: ParseError): Problem {
  const code = printParseErrorCode(error);
  return { offset: Math.min(offset, text.length), length: Math.max(length, 1), message: WORDS[code] ?? code };
}

function plainValue(node: Node, problems: Problem[]): unknown {
  if (node.type === 'array') return (node.children ?? []).map((child) => plainValue(child, problems));
  if (node.type !== 'object') {
    if (typeof node.value === 'number' && !Number.isFinite(node.value)) {
      problems.push({ offset: node.offset, length: node.length, message: 'the number is out of range' });
    }
    return node.value;
  }
  const object: Record<string, unknown> = {};
  for (const property of node.children ?? []) {
    const [key, value] = property.children ?? [];
    if (key === undefined || value === undefined) continue;
    const name = String(key.value);
    if (name === '__proto__') problems.push({ ...span(key), message: "unknown key '__proto__'" });
    else if (Object.hasOwn(object, name))
      problems.push({ ...span(key), message: `the key '${name}' is here twice` });
    else object[name] = plainValue(value, problems);
  }
  return object;
}

export type Path = readonly (string | number)[];

/** The node at a path, or the last one on the way there. */
export function nodeAt(root: Node, path: Path): Node {
  let at = root;
  for (const step of path) {
    const child =
      typeof step === 'number'
        ? at.children?.[step]
        : at.children?.find((property) => property.children?.[0]?.value === step)?.children?.[1];
    if (child === undefined) return at;
    at = child;
  }
  return at;
}

/** The key at a path's end, where it is there; else as nodeAt. */
export function keyAt(root: Node, path: Path): Node {
  const key = path.at(-1);
  const object = nodeAt(root, path.slice(0, -1));
  const property = object.children?.find((each) => each.children?.[0]?.value === key);
  return property?.children?.[0] ?? nodeAt(root, path);
}

/** Where a node is. Objects and lists are pointed at by their bracket. */
export function span(node: Node): { offset: number; length: number } {
  const isBracket = node.type === 'object' || node.type === 'array';
  return { offset: node.offset, length: isBracket ? 1 : node.length };
}
