// SPDX-License-Identifier: GPL-2.0-only

/** From the text of a case file to a case, or to everything that is wrong with it. */
import type { Node } from 'jsonc-parser';
import type { Case, CaseTask, Step } from './case.ts';
import { checkOutline } from './check.ts';
import { stepMark } from './handover.ts';
import { problemsOf } from './issues.ts';
import { MAX_BYTES, nodeAt, type Path, parse } from './jsonc.ts';
import { CaseError, Lines } from './place.ts';
import { MAX_TASKS, outline } from './schema.ts';
import { placeOf, Scope, StepScope, type Use } from './scope.ts';
import type { ReadStep, Verb } from './step.ts';
import { didYouMean } from './suggest.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

/** Loads a case from its text, of at most `max` bytes. `name`: `iommufd/ids`. Throws CaseError. */
export function loadCase(name: string, path: string, text: string, max = MAX_BYTES): Case {
  const fail = (problems: Scope['problems']): never => {
    throw new CaseError(path, text, problems);
  };
  if (text.length > max)
    fail([{ offset: 0, length: 1, message: `the file is larger than ${max} bytes: no case is` }]);
  const { document, problems } = parse(text);
  if (document === null) return fail(problems);
  const schema = outline();
  const checked = schema.safeParse(document.value);
  const scope = new Scope(document.root);
  if (!checked.success) {
    scope.problems.push(...problemsOf(checked.error.issues, { root: document.root, base: [], schema }));
  }
  const tasks = readTasks(document, scope, text);
  if (checked.success) checkOutline(checked.data, tasks, scope);
  if (scope.problems.length > 0 || !checked.success) return fail(scope.problems);
  const shared = scope.uses.filter((use) => use.task !== use.maker.task).map((use) => use.maker.name);
  return { name, path, outline: checked.data, design: null, tasks, shared: new Set(shared) };
}

interface Half {
  readonly task: string;
  readonly index: number;
  readonly path: Path;
  readonly step: ReadStep;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads every step, then resolves their names: a name may be made by a step that stands further down. */
function readTasks({ value, root }: { value: unknown; root: Node }, scope: Scope, text: string): CaseTask[] {
  const tasks = isObject(value) && isObject(value['tasks']) ? Object.entries(value['tasks']) : [];
  const hardware = isObject(value) && isObject(value['hardware']) ? Object.entries(value['hardware']) : [];
  if (tasks.length + hardware.length > MAX_TASKS) {
    scope.keyProblem(['tasks'], `${tasks.length + hardware.length} tasks and devices: at most ${MAX_TASKS}`);
    return [];
  }
  const read = [
    ...tasks.map(([name, steps]) => ({
      name,
      isDevice: false,
      halves: readSteps(steps, taskVerbs, root, 'tasks', name, scope),
    })),
    ...hardware.map(([name, steps]) => ({
      name,
      isDevice: true,
      halves: readSteps(steps, deviceVerbs, root, 'hardware', name, scope),
    })),
  ];
  for (const half of read.flatMap(({ halves }) => halves)) {
    const { label } = half.step;
    const step = { task: half.task, step: half.index, kind: null, path: half.path, on: undefined };
    if (label !== undefined) scope.steps.set(label, { name: stepMark(label), ...step });
    for (const { name, kind, on, isDevice = false, path } of half.step.makes) {
      scope.make({ name, kind, on, isDevice, path, task: half.task, step: half.index });
    }
  }
  // There may be more steps than were looked at, and what those make is not known.
  if (scope.isFull) return [];
  const lines = new Lines(text);
  const loaded = read.map(({ name, isDevice, halves }) => ({
    name,
    isDevice,
    steps: halves.flatMap((half) => (scope.isFull ? [] : [prepare(half, isDevice, root, lines, scope)])),
  }));
  if (scope.problems.length === 0) checkOrder(loaded, scope);
  return loaded;
}

function readSteps(
  steps: unknown,
  verbs: readonly Verb[],
  root: Node,
  section: string,
  task: string,
  scope: Scope,
): Half[] {
  if (!Array.isArray(steps)) return [];
  return steps.flatMap((value: unknown, index): Half[] => {
    if (scope.isFull) return [];
    const path = [section, task, index];
    const verb = verbOf(value, verbs, path, scope);
    const step = verb?.read(value, root, path, scope) ?? null;
    if (verb?.isLast === true && index + 1 < steps.length) {
      scope.problem([section, task, index + 1], `nothing can come after '${verb.verb}'`);
    }
    if (step !== null) return [{ task, index, path, step }];
    // What it was to make is not unknown to others.
    if (isObject(value) && typeof value['as'] === 'string') {
      scope.make({ name: value['as'], kind: null, on: undefined, path: [...path, 'as'], task, step: index });
    }
    return [];
  });
}

/** The verb of a step: the first of its keys that is one. */
function verbOf(value: unknown, verbs: readonly Verb[], path: Path, scope: Scope): Verb | null {
  if (!isObject(value)) {
    scope.problem(
      path,
      'expected a step { "verb": …, … }',
      `verbs: ${verbs.map((each) => each.verb).join(', ')}`,
    );
    return null;
  }
  const keys = Object.keys(value);
  for (const key of keys) {
    const found = verbs.find((each) => each.verb === key);
    if (found !== undefined) return found;
  }
  const [first] = keys;
  if (first === undefined) scope.problem(path, 'the step is empty: expected { "verb": …, … }');
  else if (verbs.length === 0) scope.problem(path, 'devices can do nothing by themselves yet');
  else {
    const words = verbs.map((each) => each.verb);
    scope.keyProblem([...path, first], `unknown verb '${first}'`, didYouMean(first, words));
  }
  return null;
}

function prepare(half: Half, isDevice: boolean, root: Node, lines: Lines, scope: Scope): Step {
  const stepScope = new StepScope(scope, half.path, half.task, half.index);
  if (isDevice) stepScope.device();
  const prepared = half.step.prepare(stepScope);
  const expectation = half.step.expectation(stepScope, prepared);
  const { after } = half.step;
  const waits = after.flatMap(
    (label, i) => stepScope.after(after.length === 1 ? ['after'] : ['after', i], label) ?? [],
  );
  return {
    ...prepared,
    index: half.index,
    label: half.step.label,
    makes: half.step.makes.map((making) => ({ ...making, on: scope.owner(making.on) })),
    uses: stepScope.uses,
    waits,
    expectation,
    path: half.path,
    line: lines.lineAt(nodeAt(root, half.path).offset),
  };
}

/** A name is used after it is made; where another task makes it, its user waits: no such waits in a circle. */
function checkOrder(tasks: readonly CaseTask[], scope: Scope): void {
  for (const { maker, task, step, path } of scope.uses) {
    if (maker.task === task && maker.step >= step) {
      const when = maker.step === step ? 'by this very step' : `only later, by ${placeOf(maker)}`;
      scope.problem(path, `'${maker.name}' is made ${when}`);
    }
  }
  if (scope.problems.length === 0) checkCircle(tasks, scope);
}

const waitsOf = (step: Step | undefined): readonly Use[] =>
  step === undefined ? [] : [...step.uses, ...step.waits];

/** Lets every task go on as far as it can, one step after the other: those that stay behind wait in a circle. */
function checkCircle(tasks: readonly CaseTask[], scope: Scope): void {
  const reached = new Map(tasks.map((task) => [task.name, 0]));
  const obstacle = (task: CaseTask): Use | undefined =>
    waitsOf(task.steps[reached.get(task.name) ?? 0]).find(
      ({ maker }) => (reached.get(maker.task) ?? 0) <= maker.step,
    );
  for (let moved = true; moved; ) {
    moved = false;
    for (const task of tasks) {
      for (
        let at = reached.get(task.name) ?? 0;
        at < task.steps.length && obstacle(task) === undefined;
        moved = true
      ) {
        reached.set(task.name, ++at);
      }
    }
  }
  const stuck = tasks.flatMap((task) => obstacle(task) ?? []);
  const circle: Use[] = [];
  for (let at = stuck[0]; at !== undefined && !circle.includes(at); ) {
    circle.push(at);
    const { task } = at.maker;
    at = stuck.find((use) => use.task === task);
  }
  const [first] = circle;
  if (first === undefined) return;
  const told = circle.map(
    (use) => `${placeOf(use)} waits for '${use.maker.name}', which ${placeOf(use.maker)} makes`,
  );
  scope.problem(first.path, `a cycle: ${told.join('; ')}`);
}
