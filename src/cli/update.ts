// SPDX-License-Identifier: GPL-2.0-only

/** `run --update` and `run --review`: goldens are written, and nothing else is. */
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { group } from '../golden/group.ts';
import { showGroup } from '../golden/show.ts';
import { type Change, goldenPath, writeGoldens } from '../golden/store.ts';
import type { Outcome } from './evaluate.ts';
import { paint } from './paint.ts';
import type { Orphan } from './project.ts';
import { mismatchesOf } from './tell.ts';
import { EXIT, Unusable } from './unusable.ts';

/** Writes the goldens of cases whose verdict holds, removes those that have no case. Returns the exit code. */
export async function update(
  outcomes: readonly Outcome[],
  orphans: readonly Orphan[],
  isReview: boolean,
): Promise<number> {
  const colours = paint(process.stdout);
  const refused = outcomes.filter(({ isAsExpected }) => !isAsExpected);
  const due = outcomes.filter(
    ({ isAsExpected, story, golden }) => isAsExpected && story !== null && story !== golden,
  );
  const accepted = isReview ? await review(due) : due;
  const changes = new Map<string, Change[]>();
  const add = (root: string | null, change: Change): void => {
    if (root !== null) changes.set(root, [...(changes.get(root) ?? []), change]);
  };
  for (const { selected, name, story } of accepted) add(selected.root, { name, text: story });
  if (!isReview) for (const { root, name } of orphans) add(root, { name, text: null });
  for (const [root, each] of changes) writeGoldens(root, each);

  for (const { name, golden } of accepted)
    console.log(`${golden === null ? 'new    ' : 'changed'} ${goldenPath(name)}`);
  if (!isReview) for (const { name } of orphans) console.log(`removed ${goldenPath(name)}`);
  for (const { name, status, reasons } of refused) {
    console.log(`${colours.red('refused')} ${goldenPath(name)}: the case is ${status}`);
    for (const reason of reasons.filter((each) => !each.includes(goldenPath(name)))) {
      console.log(`  ${reason.replaceAll('\n', '\n  ')}`);
    }
  }
  const same = outcomes.length - due.length - refused.length;
  const left = due.length - accepted.length;
  console.log(
    [
      `${accepted.length} written`,
      ...(orphans.length > 0 && !isReview ? [`${orphans.length} removed`] : []),
      `${same} as they were`,
      ...(left > 0 ? [`${left} rejected`] : []),
      ...(refused.length > 0 ? [`${refused.length} refused`] : []),
    ].join(', '),
  );
  if (refused.some(({ status }) => status === 'failed') || left > 0) return EXIT.failed;
  return refused.length > 0 ? EXIT.incomplete : EXIT.ok;
}

/** Asks about each change once, however many cases share it. Returns the cases whose change is accepted. */
async function review(due: readonly Outcome[]): Promise<Outcome[]> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new Unusable(
      '--review asks questions, and there is no terminal to answer on',
      '--update accepts everything',
    );
  }
  const groups = group(await mismatchesOf(due));
  const fresh = due.filter(({ golden }) => golden === null);
  const colours = paint(process.stdout);
  const questions = [
    ...groups.map((each) => ({ cases: each.cases, text: showGroup(each, colours) })),
    ...fresh.map(({ name, story }) => ({ cases: new Set([name]), text: `${name} is new:\n${story ?? ''}` })),
  ];
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  // The end of input, or an interrupt: whoever leaves has accepted nothing more.
  const gone = once(lines, 'close').then(() => 'q');
  // A golden is written when everything that changed in it is accepted.
  const rejected = new Set<string>();
  try {
    for (const [i, { cases, text }] of questions.entries()) {
      console.log(`\n[${i + 1}/${questions.length}] ${text}`);
      const answer = await ask((question) => Promise.race([lines.question(question), gone]));
      if (answer === 'a') continue;
      const left = answer === 'r' ? [{ cases }] : questions.slice(i);
      for (const each of left) for (const name of each.cases) rejected.add(name);
      if (answer === 'q') break;
    }
  } finally {
    lines.close();
  }
  return due.filter(({ name }) => !rejected.has(name));
}

async function ask(question: (text: string) => Promise<string>): Promise<'a' | 'r' | 'q'> {
  for (;;) {
    const answer = (await question('accept, reject, quit [a/r/q]? ')).trim().toLowerCase()[0];
    if (answer === 'a' || answer === 'r' || answer === 'q') return answer;
  }
}
