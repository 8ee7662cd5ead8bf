// SPDX-License-Identifier: GPL-2.0-only

// Three rules about the model that Biome cannot state (its plugins do not see comments):
// no type assertions, no raw collections as model state, and a decision point is read in one place.
import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { globSync } from 'glob';
import ts from 'typescript';

const RAW =
  /^(?:Map|Set|WeakMap|WeakSet|Array|ArrayBuffer|SharedArrayBuffer|DataView|Buffer|(?:Big)?(?:Int|Uint|Float)\d+(?:Clamped)?Array)$/;
const ASSIGNMENTS = new Set([
  ts.SyntaxKind.EqualsToken,
  ts.SyntaxKind.QuestionQuestionEqualsToken,
  ts.SyntaxKind.BarBarEqualsToken,
  ts.SyntaxKind.AmpersandAmpersandEqualsToken,
]);

/** What is wrong with one file, as `path:line:column: what, and what to do`. */
export function lintModel(path: string, text: string): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  const lines = text.split('\n');
  const inSim = path.startsWith('src/sim/');
  const inModel = /^src\/(?:kernel|hw)\//.test(path) && !path.endsWith('.test.ts');
  const findings: string[] = [];

  function report(node: ts.Node, message: string): void {
    const { line, character } = file.getLineAndCharacterOfPosition(node.getStart());
    findings.push(`${path}:${line + 1}:${character + 1}: ${message}`);
  }

  function isExplained(node: ts.Node): boolean {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    const { line: last } = file.getLineAndCharacterOfPosition(node.getEnd());
    return lines.slice(Math.max(line - 1, 0), last + 1).some((each) => /\/\/ cast: \S/.test(each));
  }

  function visit(node: ts.Node): void {
    if (
      (ts.isAsExpression(node) || ts.isTypeAssertionExpression(node)) &&
      !ts.isConstTypeReference(node.type)
    ) {
      if (!inSim) {
        report(node, 'type assertion. Narrow the type with a check, or use `satisfies`.');
      } else if (!isExplained(node)) {
        report(node, 'type assertion without a reason. Remove it, or say why it holds: `// cast: reason`.');
      }
    }
    if (inModel && isRawCollection(node) && !isConstant(node)) {
      const place = whereStored(node);
      if (place !== undefined) {
        report(
          node,
          `raw collection in ${place}: nothing would record its transitions. ` +
            'Use an observed collection of src/sim; a table that never changes is `as const` or has a readonly type.',
        );
      }
    }
    if (inModel && isDecisionPoint(node)) checkReader(node);
    ts.forEachChild(node, visit);
  }

  /** What declares a decision point is the only reader, and what is asked in two places can be decided twice. */
  function checkReader(call: ts.CallExpression): void {
    const { parent } = call;
    const what = call.arguments[0]?.getText() ?? '';
    if (!ts.isVariableDeclaration(parent) || !ts.isIdentifier(parent.name) || isLocal(parent)) {
      report(
        call,
        `the decision point ${what} is declared inside of something. Declare a const of the module.`,
      );
      return;
    }
    const reader = parent.name;
    if (parent.parent.parent.getText().startsWith('export')) {
      report(reader, `${reader.text} is exported. Decide here, and export what was decided.`);
    }
    const uses = identifiers(file, reader.text).filter((each) => each !== reader);
    if (uses.length === 1 && uses.every(({ parent: at }) => ts.isCallExpression(at) && isLocal(at))) return;
    report(
      reader,
      `${reader.text} is used in ${uses.length} places. Call it in one function, where it is decided.`,
    );
  }
  visit(file);
  return findings;
}

/** `variant(…)` and `bug(…)` of src/sim/variant.ts. */
function isDecisionPoint(node: ts.Node): node is ts.CallExpression {
  return (
    ts.isCallExpression(node) &&
    ts.isIdentifier(node.expression) &&
    /^(?:variant|bug)$/.test(node.expression.text)
  );
}

function identifiers(node: ts.Node, text: string): ts.Identifier[] {
  const found: ts.Identifier[] = ts.isIdentifier(node) && node.text === text ? [node] : [];
  ts.forEachChild(node, (child) => {
    found.push(...identifiers(child, text));
  });
  return found;
}

/** `[…]`, `new Map(…)`, `Array(…)`, `Uint8Array.from(…)` and their like. */
function isRawCollection(node: ts.Node): boolean {
  if (ts.isArrayLiteralExpression(node)) {
    return true;
  }
  if (!ts.isNewExpression(node) && !ts.isCallExpression(node)) {
    return false;
  }
  const callee = ts.isPropertyAccessExpression(node.expression)
    ? node.expression.expression
    : node.expression;
  return ts.isIdentifier(callee) && RAW.test(callee.text);
}

/** The lasting place a value goes to; undefined for a local, an argument or an operand. */
function whereStored(value: ts.Node): string | undefined {
  const { parent } = value;
  if (ts.isPropertyDeclaration(parent)) {
    return `field ${parent.name.getText()}`;
  }
  if (ts.isParameter(parent)) {
    return parent.modifiers === undefined ? undefined : `field ${parent.name.getText()}`;
  }
  if (ts.isPropertyAssignment(parent)) {
    return `property ${parent.name.getText()}`;
  }
  if (ts.isVariableDeclaration(parent)) {
    return ts.isIdentifier(parent.name) && !isLocal(parent)
      ? `module variable ${parent.name.text}`
      : undefined;
  }
  if (ts.isBinaryExpression(parent) && ASSIGNMENTS.has(parent.operatorToken.kind)) {
    return ts.isPropertyAccessExpression(parent.left) ? `property ${parent.left.name.text}` : undefined;
  }
  return passesOn(parent, value) ? whereStored(parent) : undefined;
}

/** Whether the value of an expression may be the value of this part of it: `(x)`, `x as T`, `a ?? x`, `c ? x : y`. */
function passesOn(expression: ts.Node, part: ts.Node): boolean {
  return (
    ts.isParenthesizedExpression(expression) ||
    ts.isAsExpression(expression) ||
    ts.isSatisfiesExpression(expression) ||
    ts.isNonNullExpression(expression) ||
    (ts.isConditionalExpression(expression) && expression.condition !== part) ||
    (ts.isBinaryExpression(expression) && /^(?:\?\?|\|\||&&|,)$/.test(expression.operatorToken.getText()))
  );
}

function isLocal(node: ts.Node): boolean {
  return ts.findAncestor(node, (each) => ts.isFunctionLike(each)) !== undefined;
}

/** Part of an `as const`, or the value of something declared with a readonly type. */
function isConstant(node: ts.Node): boolean {
  for (let at = node.parent; !ts.isFunctionLike(at) && !ts.isSourceFile(at); at = at.parent) {
    if (ts.isAsExpression(at) && ts.isConstTypeReference(at.type)) {
      return true;
    }
    if (ts.isVariableDeclaration(at) || ts.isPropertyDeclaration(at) || ts.isParameter(at)) {
      return /^readonly\b|^Readonly/.test(at.type?.getText() ?? '');
    }
  }
  return false;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const paths = globSync('src/**/*.ts', { posix: true }).sort();
  const findings = paths.flatMap((path) => lintModel(path, readFileSync(path, 'utf8')));
  for (const finding of findings) {
    console.error(finding);
  }
  process.exitCode = findings.length === 0 ? 0 : 1;
}
