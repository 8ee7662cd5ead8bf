// SPDX-License-Identifier: GPL-2.0-only

/**
 * Feeds a recording's calls to the model, one after the other, and compares every answer. The model sees what
 * the program did and never what the kernel answered.
 */
import { devtmpfs_create_node } from '../kernel/fs/devtmpfs.ts';
import { default_hstate, set_max_huge_pages } from '../kernel/mm/hugetlb.ts';
import { Unsupported } from '../sim/errors.ts';
import { Machine } from '../sim/machine.ts';
import { runToBlock } from '../sim/policies/run-to-block.ts';
import { Trace } from '../sim/trace.ts';
import { boot, isPlatform } from '../user/boot.ts';
import { create_process } from '../user/process.ts';
import { Divergence } from './divergence.ts';
import type { Recording } from './event.ts';
import { program_fops } from './perform.ts';
import { Stage } from './stage.ts';

/** How far a recording and the model agree. Of `calls` that could be compared, `matched` were alike. */
export interface ReplayResult {
  readonly recording: string;
  readonly status: 'matched' | 'diverged' | 'unsupported';
  readonly calls: number;
  readonly matched: number;
  /** Line of the recording at which it ended early. */
  readonly at?: number;
  /** The call there. */
  readonly cmd?: string;
  /** What is not modelled, or the field that differs (`ret`, `errno`, a struct's field, `buffer`). */
  readonly field?: string;
  readonly expected?: string;
  readonly actual?: string;
}

/** Huge pages of 2 MiB that the recorded machine had set aside. */
const HUGE_PAGES = 80;

/** What the recorded machine had beside its platform: huge pages, and a file for the program to map. */
function furnish(machine: Machine): void {
  set_max_huge_pages(default_hstate(), HUGE_PAGES);
  devtmpfs_create_node(machine.root, '/proc/self/exe', program_fops);
}

/**
 * Replays until the first difference or the first thing that is not modelled: what follows is unknown. Throws
 * BadRecording when it comes to an event that is none.
 */
export function replay({ header, calls, events, source }: Recording, trace = new Trace()): ReplayResult {
  const verdict = { recording: source, calls };
  if (!isPlatform(header.platform)) {
    return { ...verdict, status: 'unsupported', matched: 0, field: `platform ${header.platform}` };
  }
  const machine = new Machine(runToBlock, {}, trace).powerOn();
  boot(machine, header.platform);
  furnish(machine);
  const stage = new Stage(events);
  try {
    stage.enter(1, create_process(machine.root, 'p1'));
    const ending = machine.run();
    if (ending.status !== 'finished') stage.unanswered(ending.status);
    return { ...verdict, status: 'matched', matched: stage.matched };
  } catch (e) {
    const { event, matched } = stage;
    if (event === null) throw e;
    const cmd = event.call === 'ioctl' ? event.cmd : event.call;
    const place = { ...verdict, matched, at: event.line, cmd };
    if (e instanceof Unsupported) return { ...place, status: 'unsupported', field: e.what };
    if (!(e instanceof Divergence)) throw e;
    return { ...place, status: 'diverged', field: e.field, expected: e.expected, actual: e.actual };
  }
}
