// SPDX-License-Identifier: GPL-2.0-only

import { FINDING_KINDS } from '../sim/check/finding.ts';

/** What checkers can find, in the words in which a case speaks of it. */
export const FINDINGS = {
  warn: 'a WARN_ON fires, refcount warnings included',
  bug: 'a BUG_ON fires',
  hang: 'tasks wait that nobody will wake',
  leak: 'something is left at the end: objects, pins, locked_vm, reserved IOVA',
  'data-race': 'two unmarked accesses that nothing orders',
  'unguarded-access': 'a field is touched without the lock that guards it',
  'lock-order': 'locks are taken in orders that can deadlock',
  'sleep-in-atomic': 'something that may sleep is called where sleeping is not allowed',
  'use-after-free': 'freed memory is touched',
  'double-free': 'something is freed twice',
  'lost-wake-up': 'a wake-up comes before the wait that it was meant for',
  'stale-translation': 'an IOTLB, device TLB or PASID entry is used that is no longer valid',
  'foreign-page': 'a device reaches a page that was freed, and could be anybody’s by now',
  'foreign-byte': 'a byte of one owner is read by another',
  'unanswered-fault': 'a page request group gets no response, or more than one',
} as const;

export type Finding = keyof typeof FINDINGS;

/** Those that a run reports by now. The others are accepted in a case and not decided. */
export const REPORTED: ReadonlySet<Finding> = new Set([...FINDING_KINDS, 'bug']);

export const isFinding = (word: string): word is Finding => Object.hasOwn(FINDINGS, word);
