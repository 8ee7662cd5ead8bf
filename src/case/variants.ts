// SPDX-License-Identifier: GPL-2.0-only

/** The decision points of the model, to be read: docs/variants.md, and what `variants` prints. */
import { decisions, LINUX } from '../sim/variant.ts';
// The whole model, so that all its decision points are declared.
import '../user/boot.ts';

/** The whole page. */
export function variantsPage(): string {
  return `${[
    '# Variants and bugs',
    'Generated from the declarations in the model by `vfio-oracle variants --page`; do not edit.',
    '',
    'A case picks designs by `"variant": { "point": "choice" }` and puts bugs back by `"bugs": ["id"]`; with',
    '`"variants": [ … ]` it is run on several, each with its own verdict. `run`, `explore`, `explain` and `compare` take',
    '`--variant point=choice` and `--bug id`. [How to mirror a patch](mirror-a-patch.md) shows how one is made.',
    '',
    '## Designs',
    `The choice \`${LINUX}\` is what Linux 6.12 does, and what is done where nobody asks for another.`,
    ...decisions
      .points()
      .flatMap(({ name, about, at, choices }) => [
        '',
        `### ${name}`,
        `${about}. Decided in \`${at}\`.`,
        '',
        ...[...choices].map(([choice, { about, source }]) => `- \`${choice}\`: ${about}. (${source})`),
      ]),
    '',
    '## Bugs',
    ...decisions
      .bugs()
      .flatMap(({ id, about, at, source, cure }) => [
        '',
        `### ${id}`,
        `${about}. In \`${at}\`.`,
        '',
        `- Cure: ${cure}.`,
        `- Source: ${source}`,
      ]),
  ].join('\n')}\n`;
}

/** A point or bug a paragraph. */
export function variantsText(bold: (text: string) => string): string {
  const points = decisions
    .points()
    .map(({ name, about, at, choices }) =>
      [
        `${bold(name)}  ${about}`,
        `    in ${at}`,
        ...[...choices].flatMap(([choice, each]) => [
          `  ${choice}${choice === LINUX ? ' (default)' : ''}: ${each.about}`,
          `    ${each.source}`,
        ]),
      ].join('\n'),
    );
  const bugs = decisions
    .bugs()
    .map(({ id, about, at, source, cure }) =>
      [`${bold(id)}  ${about}`, `    in ${at}`, `  cure: ${cure}`, `    ${source}`].join('\n'),
    );
  return [...points, ...bugs].join('\n\n');
}

/** For tools. */
export const variantsJson = (): unknown => ({
  variants: decisions.points().map(({ name, about, at, choices }) => ({
    name,
    about,
    at,
    default: LINUX,
    choices: [...choices].map(([choice, { about, source }]) => ({ name: choice, about, source })),
  })),
  bugs: decisions.bugs().map(({ id, about, at, source, cure }) => ({ id, about, at, source, cure })),
});
