// SPDX-License-Identifier: GPL-2.0-only

/** The designs that a case is run on. Each makes a case of its own of it, with its own verdict. */
import { type Design, LINUX } from '../sim/variant.ts';
import type { Case } from './case.ts';
import type { Outline } from './schema.ts';

/** `attach-handle=after-driver, bug E1`: what it has that Linux 6.12 has not. */
export function designName({ variant = {}, bugs = [] }: Design): string {
  const choices = Object.entries(variant).filter(([, choice = LINUX]) => choice !== LINUX);
  const named = [
    ...choices.map(([point, choice]) => `${point}=${choice}`).sort(),
    ...[...new Set(bugs)].sort().map((id) => `bug ${id}`),
  ];
  return named.length === 0 ? 'Linux 6.12' : named.join(', ');
}

const both = (a: Design, b: Design): Design => ({
  variant: { ...a.variant, ...b.variant },
  bugs: [...(a.bugs ?? []), ...(b.bugs ?? [])],
});

type Expect = NonNullable<Outline['expect']>;
type Variant = NonNullable<Outline['variants']>[number];

const allOf = (common: Expect = {}, own: Expect = {}): Expect => ({
  end: [common.end ?? [], own.end ?? []].flat(),
  always: [...(common.always ?? []), ...(own.always ?? [])],
  sometimes: [...(common.sometimes ?? []), ...(own.sometimes ?? [])],
  never: [...(common.never ?? []), ...(own.never ?? [])],
});

const on = (it: Case, design: Design, own: Variant = {}): Case => {
  const { variants, schedule, ...outline } = it.outline;
  const scheduled = own.schedule ?? schedule;
  return {
    ...it,
    design: designName(design),
    outline: {
      ...outline,
      variant: { ...design.variant },
      bugs: [...(design.bugs ?? [])],
      ...(scheduled === undefined ? {} : { schedule: scheduled }),
      expect: allOf(outline.expect, own.expect),
    },
  };
};

/** The case on each design of its `variants`; itself when it names none. */
export function onDesigns(it: Case): readonly Case[] {
  return it.outline.variants?.map((own) => on(it, both(it.outline, own), own)) ?? [it];
}

/**
 * The case with choices of another design beside its own. What one of its `variants` expects counts when that is
 * the design.
 */
export function onDesign(it: Case, chosen: Design): Case {
  const design = both(it.outline, chosen);
  return onDesigns(it).find((each) => each.design === designName(design)) ?? on(it, design);
}
