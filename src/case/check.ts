// SPDX-License-Identifier: GPL-2.0-only

/** Whether the parts of a case that speak of its tasks, devices and steps speak of such as there are. */
import { driver_names } from '../kernel/drivers/modules.ts';
import type { CaseTask, Step } from './case.ts';
import { designName } from './designs.ts';
import { stepLabel } from './handover.ts';
import type { Path } from './jsonc.ts';
import type { Condition, Outline } from './schema.ts';
import { placeOf, type Scope } from './scope.ts';
import { didYouMean } from './suggest.ts';

/** What is said of tasks, devices and steps elsewhere in the case. */
export function checkOutline(it: Outline, tasks: readonly CaseTask[], scope: Scope): void {
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
  for (const device of Object.keys(it.platform?.devices ?? {})) {
    if (devices.includes(device)) continue;
    const message = `no group of the platform has a device '${device}'`;
    scope.keyProblem(['platform', 'devices', device], message, didYouMean(device, devices));
  }
  const hardware = Object.keys(it.hardware ?? {});
  for (const device of hardware) if (!devices.includes(device)) checkDevice(device, devices, scope);
  checkForks(it, names, scope);
  checkPresent(it, devices, scope);
  const labels = checkLabels(tasks, scope);
  const known = roots(it, devices, scope);
  for (const [part, at] of parts(it)) {
    checkSchedule(part, at, [...names, ...devices, ...hardware], [...labels.keys()], scope);
    checkExpect(part, at, labels, known, scope);
  }
  checkDesigns(it, scope);
}

type Part = Pick<Outline, 'schedule' | 'expect'>;

/** The case, and what it says of each of several designs; with the path to it. */
const parts = (it: Outline): [Part, Path][] => [
  [it, []],
  ...(it.variants ?? []).map((own, i): [Part, Path] => [own, ['variants', i]]),
];

function checkExpect(
  { expect = {} }: Part,
  at: Path,
  labels: ReadonlyMap<string, Step>,
  known: readonly string[],
  scope: Scope,
): void {
  for (const section of ['end', 'always', 'sometimes', 'never'] as const) {
    for (const [i, claim] of [expect[section] ?? []].flat().entries()) {
      const path = [...at, 'expect', section, ...(Array.isArray(expect[section]) ? [i] : [])];
      if (typeof claim !== 'string') checkCondition(claim, path, labels, known, scope);
    }
  }
}

/** A design is named once. */
function checkDesigns(it: Outline, scope: Scope): void {
  const seen = new Map<string, number>();
  for (const [i, own] of (it.variants ?? []).entries()) {
    const design = designName(own);
    const first = seen.get(design);
    if (first !== undefined)
      scope.problem(['variants', i], `${design} is named already, by variants[${first}]`);
    else seen.set(design, i);
  }
}

/** What steps and the platform say of devices, groups and drivers. */
function checkPresent({ platform = {} }: Outline, devices: readonly string[], scope: Scope): void {
  const groups = Object.keys(platform.groups ?? {});
  for (const { what, name, path } of scope.present) {
    const known = what === 'device' ? devices : groups;
    if (known.includes(name)) continue;
    const none = `the platform has no ${what}s: "platform": { "iommu": "generic", "groups": { "g0": ["dev1"] } }`;
    scope.problem(path, `no such ${what}: '${name}'`, known.length === 0 ? none : didYouMean(name, known));
  }
  for (const [name, { bus = 'pci', driver, id }] of Object.entries(platform.devices ?? {})) {
    for (const [key, word] of Object.entries({ driver, id })) {
      const known = driver_names(bus);
      if (word === undefined || known.includes(word)) continue;
      scope.problem(
        ['platform', 'devices', name, key],
        `'${word}' is no driver of the ${bus} bus`,
        `there are ${known.join(', ')}`,
      );
    }
  }
}

/** Each task is begun once: with the case, or by one step of another. */
function checkForks(it: Outline, names: readonly string[], scope: Scope): void {
  const forked = new Set<string>();
  const threads = Object.values(it.processes ?? {}).flatMap((each) => each.threads);
  for (const { child, by, path } of scope.forks) {
    const has = (what: string): void => scope.problem(path, `'${child}' ${what}`);
    if (!names.includes(child)) scope.problem(path, `no task is called '${child}'`, didYouMean(child, names));
    else if (child === by) has('is the task that forks');
    else if (forked.has(child)) has('is forked already');
    else if (threads.includes(child)) has('is a thread of one of "processes"');
    forked.add(child);
  }
}

/** A device that does something is one of the platform, or made by a step. */
function checkDevice(name: string, devices: readonly string[], scope: Scope): void {
  const made = scope.makers.get(name);
  if (made?.isDevice === true || made?.kind === null) return;
  const known = [
    ...devices,
    ...[...scope.makers.values()].flatMap((each) => (each.isDevice === true ? each.name : [])),
  ];
  const what = made === undefined ? 'there is no device' : `${placeOf(made)} makes no device`;
  const hint = didYouMean(name, known) ?? 'a step makes a device: { "mock_domain": "ioas1", "as": "dev1" }';
  scope.keyProblem(['hardware', name], `${what} '${name}'`, hint);
}

function checkSchedule(
  { schedule }: Part,
  at: Path,
  names: readonly string[],
  labels: readonly string[],
  scope: Scope,
): void {
  if (!Array.isArray(schedule)) return;
  for (const [i, line] of schedule.entries()) {
    if (!('run' in line)) continue;
    // Workers and other tasks of the kernel's own have dotted names, which are known only at run time.
    if (!names.includes(line.run) && !line.run.includes('.')) {
      scope.problem(
        [...at, 'schedule', i, 'run'],
        `no task is called '${line.run}'`,
        didYouMean(line.run, names),
      );
    }
    const label = line.until === undefined ? undefined : stepLabel(line.until);
    if (label !== undefined && !labels.includes(label)) {
      const hint = didYouMean(label, labels) ?? 'a step has a label by "label": "name"';
      scope.problem([...at, 'schedule', i, 'until'], `no step has the label '${label}'`, hint);
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
  for (const [user, process] of usersOf(it)) {
    if (user !== 'root') take(user, 'a user', ['processes', process, 'user'], false);
  }
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

/** Each user that the case names, with the first process of his. */
function usersOf({ processes = {} }: Outline): Map<string, string> {
  const users = new Map<string, string>();
  for (const [process, { user }] of Object.entries(processes)) {
    if (user !== undefined && !users.has(user)) users.set(user, process);
  }
  return users;
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
    ...scope.made,
    ...Object.keys(it.tasks),
    ...Object.keys(it.processes ?? {}),
    ...usersOf(it).keys(),
    ...Object.keys(it.platform?.groups ?? {}),
    ...devices,
    'process',
    'root',
  ];
}

const OWN_KEYS: ReadonlySet<string> = new Set(['at', 'results', 'data', 'all', 'any', 'not']);

function checkCondition(
  condition: Condition,
  path: Path,
  labels: ReadonlyMap<string, Step>,
  known: readonly string[],
  scope: Scope,
): void {
  for (const part of ['results', 'data'] as const) {
    for (const label of Object.keys(condition[part] ?? {})) {
      if (labels.has(label)) continue;
      const hint = didYouMean(label, labels.keys()) ?? 'a step has a label by "label": "name"';
      scope.keyProblem([...path, part, label], `no step has the label '${label}'`, hint);
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
