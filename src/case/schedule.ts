// SPDX-License-Identifier: GPL-2.0-only

/** The policy that a case's schedule stands for, and whether the run fitted it. */
import { type Choice, operationLabel, type Policy } from '../sim/choice.ts';
import { SeededRandom } from '../sim/policies/random.ts';
import { Replay } from '../sim/policies/replay.ts';
import { RoundRobin } from '../sim/policies/round-robin.ts';
import { runToBlock } from '../sim/policies/run-to-block.ts';
import { Script, type ScriptLine } from '../sim/policies/script.ts';
import type { Schedule } from './schema.ts';

export interface Scheduled {
  readonly policy: Policy;
  /** Fields at whose accesses others may come in between; see check/racing.ts. */
  readonly points?: ReadonlySet<string>;
  /** After the run: how it did not fit the schedule; null when it did. */
  misfit(): string | null;
}

const fits = (): null => null;

export function scheduled(schedule: Schedule | undefined): Scheduled {
  if (schedule === undefined || schedule === 'run-to-block') return { policy: runToBlock, misfit: fits };
  if (schedule === 'round-robin') return { policy: new RoundRobin(), misfit: fits };
  if (Array.isArray(schedule)) return new Scripted(schedule.map(scriptLine));
  if ('random' in schedule) return { policy: new SeededRandom(schedule.random), misfit: fits };
  const replay = new Replay(schedule.replay);
  return {
    policy: replay,
    points: new Set(schedule.points),
    misfit: () =>
      replay.left.length === 0
        ? null
        : `the schedule does not fit: the run ended before its choice '${replay.left[0]}'`,
  };
}

function scriptLine(line: Extract<Schedule, readonly unknown[]>[number]): ScriptLine {
  if ('choose' in line) return line;
  const { run, until, nth } = line;
  if (until === undefined) return { run };
  return nth === undefined ? { run, until } : { run, until, nth };
}

const tell = (line: ScriptLine): string => JSON.stringify(line);

/** A script that is told of when it does not fit, instead of being passed over in silence. */
class Scripted implements Scheduled {
  readonly policy: Policy;
  readonly #script: Script;
  #missed: string | null = null;
  /** The line at which a task was let go on. */
  #ran: ScriptLine | undefined;

  constructor(lines: readonly ScriptLine[]) {
    this.#script = new Script(lines);
    this.policy = { choose: (choice) => this.#choose(choice) };
  }

  #choose(choice: Choice): number {
    const before = this.#script.left;
    const option = this.#script.choose(choice);
    const after = this.#script.left;
    for (const line of before.slice(0, before.length - after.length)) this.#passed(line, choice);
    const [next] = after;
    if (
      choice.kind === 'task' &&
      next !== undefined &&
      'run' in next &&
      choice.tasks[option]?.name === next.run
    )
      this.#ran = next;
    return option;
  }

  #passed(line: ScriptLine, choice: Choice): void {
    if (this.#missed !== null || !('run' in line)) return;
    const task = choice.tasks.slice(0, choice.count).find((each) => each.name === line.run);
    if (line.until === undefined) {
      if (this.#ran !== line) this.#missed = `${tell(line)}: ${line.run} cannot go on there`;
    } else if (task === undefined || operationLabel(task) !== line.until) {
      const why =
        this.#ran === line
          ? `${line.run} waited or ended without coming to that`
          : `${line.run} cannot go on there`;
      this.#missed = `${tell(line)}: ${why}`;
    }
  }

  misfit(): string | null {
    if (this.#missed !== null) return `the schedule does not fit: ${this.#missed}`;
    const [first] = this.#script.left;
    // The last task is left alone at the end, without a choice: a line for it is as good as done.
    if (first === undefined || ('run' in first && first.until === undefined)) return null;
    return `the schedule does not fit: the run ended before ${tell(first)}`;
  }
}
