// SPDX-License-Identifier: GPL-2.0-only

/** From the text of a case file to a case, or to everything that is wrong with it. */
import type { Node } from 'jsonc-parser';
import type { Case, CaseTask, Step } from './case.ts';
import { stepLabel } from './handover.ts';
import { problemsOf } from './issues.ts';
import { MAX_BYTES, nodeAt, type Path, parse } from './jsonc.ts';
import { CaseError, Lines, MOST_PROBLEMS } from './place.ts';
import { type Condition, MAX_TASKS, type Outline, outline } from './schema.ts';
import { placeOf, Scope, StepScope, type Use } from './scope.ts';
import type { ReadStep, Verb } from './step.ts';
import { didYouMean } from './suggest.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

/** Loads a case from its text. `name`: `iommufd/ids`. Throws CaseError. */
export function loadCase(name: string, path: string, text: string): Case {
  const fail = (problems: Scope['problems']): never => {
    throw new CaseError(path, text, problems);
  };
  if (text.length > MAX_BYTES)
    fail([{ offset: 0, length: 1, message: `the file is larger than ${MAX_BYTES} bytes: no case is` }]);
  const { document, problems } = parse(text);
  if (document === null) return fail(problems);
  const schema = outline();
  const checked = schema.safeParse(document.value);
  const scope = new Scope(document.root);
  if (!checked.success) {
    scope.problems.push(...problemsOf(checked.error.issues, { root: document.root, base: [], schema }));
  }
  const tasks = readTasks(document, scope, text, checked.success);
  if (checked.success) checkOutline(checked.data, tasks, scope);
  if (scope.problems.length > 0 || !checked.success) return fail(scope.problems);
  const shared = scope.uses.filter((use) => use.task !== use.maker.task).map((use) => use.maker.name);
  return { name, path, outline: checked.data, tasks, shared: new Set(shared) };
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
function readTasks(
  { value, root }: { value: unknown; root: Node },
  scope: Scope,
  text: string,
  isWhole: boolean,
): CaseTask[] {
  const tasks = isObject(value) && isObject(value['tasks']) ? Object.entries(value['tasks']) : [];
  const hardware = isObject(value) && isObject(value['hardware']) ? Object.entries(value['hardware']) : [];
  if (tasks.length + hardware.length > MAX_TASKS) {
    scope.keyProblem(['tasks'], `${tasks.length + hardware.length} tasks and devices: at most ${MAX_TASKS}`);
    return [];
  }
  const read = tasks.map(([name, steps]) => ({
    name,
    halves: readSteps(steps, taskVerbs, root, 'tasks', name, scope),
  }));
  for (const [name, steps] of hardware) readSteps(steps, deviceVerbs, root, 'hardware', name, scope);
  for (const half of read.flatMap(({ halves }) => halves)) {
    for (const { name, kind, on, path } of half.step.makes) {
      scope.make({ name, kind, on, path, task: half.task, step: half.index });
    }
  }
  // With a step missing, a name that it would have made is not unknown: nothing is said about names then.
  const isComplete = scope.problems.length === 0 && isWhole;
  if (!isComplete) return [];
  const lines = new Lines(text);
  const loaded = read.map(({ name, halves }) => ({
    name,
    steps: halves.map((half) => prepare(half, root, lines, scope)),
  }));
  checkOrder(loaded, scope);
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
    if (scope.problems.length >= MOST_PROBLEMS) return [];
    const path = [section, task, index];
    const verb = verbOf(value, verbs, path, scope);
    const step = verb?.read(value, root, path, scope) ?? null;
    if (verb?.isLast === true && index + 1 < steps.length) {
      scope.problem([section, task, index + 1], `nothing can come after '${verb.verb}'`);
    }
    return step === null ? [] : [{ task, index, path, step }];
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

function prepare(half: Half, root: Node, lines: Lines, scope: Scope): Step {
  const stepScope = new StepScope(scope, half.path, half.task, half.index);
  const prepared = half.step.prepare(stepScope);
  const expectation = half.step.expectation(stepScope, prepared);
  return {
    ...prepared,
    index: half.index,
    label: half.step.label,
    makes: half.step.makes,
    uses: stepScope.uses,
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

/** Lets every task go on as far as it can, one step after the other: those that stay behind wait in a circle. */
function checkCircle(tasks: readonly CaseTask[], scope: Scope): void {
  const reached = new Map(tasks.map((task) => [task.name, 0]));
  const obstacle = (task: CaseTask): Use | undefined =>
    task.steps[reached.get(task.name) ?? 0]?.uses.find(
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

/** What is said of tasks, devices and steps elsewhere in the case. */
function checkOutline(it: Outline, tasks: readonly CaseTask[], scope: Scope): void {
  const names = Object.keys(it.tasks);
  const devices = Object.values(it.platform?.groups ?? {}).flat();
  checkTwice(it, names, scope);
  for (const [process, { threads }] of Object.entries(it.processes ?? {})) {
    for (const [i, thread] of threads.entries()) {
      if (!names.includes(thread)) {
        scope.problem(
          ['processes', process, 'threads', i],
          `no task is called '${thread}'`,
          didYouMean(thread, names),
        );
      }
    }
  }
  for (const [section, known] of [
    ['devices', it.platform?.devices],
    ['hardware', it.hardware],
  ] as const) {
    for (const device of Object.keys(known ?? {})) {
      const path = section === 'hardware' ? [section, device] : ['platform', section, device];
      if (!devices.includes(device)) {
        scope.keyProblem(
          path,
          `no group of the platform has a device '${device}'`,
          didYouMean(device, devices),
        );
      }
    }
  }
  const labels = checkLabels(tasks, scope);
  checkSchedule(it, [...names, ...devices], [...labels.keys()], scope);
  for (const section of ['end', 'always', 'sometimes', 'never'] as const) {
    const claims = [it.expect?.[section] ?? []].flat();
    for (const [i, claim] of claims.entries()) {
      const path = ['expect', section, ...(Array.isArray(it.expect?.[section]) ? [i] : [])];
      if (typeof claim !== 'string') checkCondition(claim, path, labels, roots(it, devices, scope), scope);
    }
  }
}

function checkSchedule(
  { schedule }: Outline,
  names: readonly string[],
  labels: readonly string[],
  scope: Scope,
): void {
  if (!Array.isArray(schedule)) return;
  for (const [i, line] of schedule.entries()) {
    if (!('run' in line)) continue;
    // Workers and other tasks of the kernel's own have dotted names, which are known only at run time.
    if (!names.includes(line.run) && !line.run.includes('.')) {
      scope.problem(['schedule', i, 'run'], `no task is called '${line.run}'`, didYouMean(line.run, names));
    }
    const label = line.until === undefined ? undefined : stepLabel(line.until);
    if (label !== undefined && !labels.includes(label)) {
      const hint = didYouMean(label, labels) ?? 'a step has a label by "label": "name"';
      scope.problem(['schedule', i, 'until'], `no step has the label '${label}'`, hint);
    }
  }
}

/** One name for one thing: tasks, processes, devices, groups, and what steps make. */
function checkTwice(it: Outline, tasks: readonly string[], scope: Scope): void {
  // What the machine itself calls its own.
  const taken = new Map(['process', 'root', 'swapper'].map((name) => [name, 'the machine']));
  const take = (name: string, what: string, path: Path, isKey: boolean): void => {
    const other = taken.get(name);
    if (other === undefined) taken.set(name, what);
    else if (isKey) scope.keyProblem(path, `the name '${name}' is taken: ${other} has it`);
    else scope.problem(path, `the name '${name}' is taken: ${other} has it`);
  };
  for (const task of tasks) take(task, 'a task', ['tasks', task], true);
  for (const process of Object.keys(it.processes ?? {}))
    take(process, 'a process', ['processes', process], true);
  for (const [group, devices] of Object.entries(it.platform?.groups ?? {})) {
    take(group, 'a group', ['platform', 'groups', group], true);
    for (const [i, device] of devices.entries())
      take(device, 'a device', ['platform', 'groups', group, i], false);
  }
  for (const maker of scope.makers.values())
    take(maker.name, `what ${placeOf(maker)} makes`, maker.path, false);
  const threads = new Map<string, string>();
  for (const [process, { threads: own }] of Object.entries(it.processes ?? {})) {
    for (const [i, thread] of own.entries()) {
      const first = threads.get(thread);
      if (first !== undefined)
        scope.problem(['processes', process, 'threads', i], `'${thread}' is a thread of '${first}' already`);
      threads.set(thread, process);
    }
  }
}

function checkLabels(tasks: readonly CaseTask[], scope: Scope): Map<string, Step> {
  const labels = new Map<string, Step>();
  for (const step of tasks.flatMap((task) => task.steps)) {
    if (step.label === undefined) continue;
    if (labels.has(step.label)) scope.problem([...step.path, 'label'], `the label '${step.label}' is taken`);
    labels.set(step.label, step);
  }
  return labels;
}

/** What a path of a condition can begin with. */
function roots(it: Outline, devices: readonly string[], scope: Scope): string[] {
  return [
    ...scope.makers.keys(),
    ...Object.keys(it.tasks),
    ...Object.keys(it.processes ?? {}),
    ...Object.keys(it.platform?.groups ?? {}),
    ...devices,
    'process',
  ];
}

const OWN_KEYS: ReadonlySet<string> = new Set(['at', 'results', 'all', 'any', 'not']);

function checkCondition(
  condition: Condition,
  path: Path,
  labels: ReadonlyMap<string, Step>,
  known: readonly string[],
  scope: Scope,
): void {
  for (const label of Object.keys(condition.results ?? {})) {
    if (!labels.has(label)) {
      const hint = didYouMean(label, labels.keys()) ?? 'a step has a label by "label": "name"';
      scope.keyProblem([...path, 'results', label], `no step has the label '${label}'`, hint);
    }
  }
  for (const key of Object.keys(condition)) {
    if (OWN_KEYS.has(key)) continue;
    const [first = ''] = key.split(/[.[]/);
    if (!known.includes(first)) {
      scope.keyProblem([...path, key], `nothing in this case is called '${first}'`, didYouMean(first, known));
    }
  }
  condition.all?.forEach((each, i) => {
    checkCondition(each, [...path, 'all', i], labels, known, scope);
  });
  condition.any?.forEach((each, i) => {
    checkCondition(each, [...path, 'any', i], labels, known, scope);
  });
  if (condition.not !== undefined) checkCondition(condition.not, [...path, 'not'], labels, known, scope);
}
