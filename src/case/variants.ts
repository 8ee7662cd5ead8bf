// SPDX-License-Identifier: GPL-2.0-only

/** The decision points of the model, to be read: docs/variants.md, and what `variants` prints. */
import { decisions, LINUX } from '../sim/variant.ts';
// The whole model, so that all its decision points are declared.
import '../user/boot.ts';

/** What would make no difference to any case, and so is no bug that can be put back. */
const NOT_SHOWN = [
  {
    bugs:
      'iommu: Restore lost return in iommu_report_device_fault() (CVE-2024-44994); iommufd/fault: Avoid partial fault ' +
      'group delivery in iommufd_fault_fops_read()',
    why: 'they need a group of several page requests, and each of a mock device is alone in its group (selftest.c:iommufd_test_trigger_iopf)',
  },
  {
    bugs: 'iommufd/iova_bitmap: Fix shift-out-of-bounds in iova_bitmap_offset_to_index()',
    why: 'it needs a page_size of 2^31 and more, and dirty tracking of IOVA from 0 or beyond 2 GiB, where a mock domain has none',
  },
  {
    bugs: 'iommufd: Require drivers to supply the cache_invalidate_user ops (CVE-2024-46824)',
    why: 'the one driver with nested domains has them',
  },
];

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
    '',
    '## Bugs of iommufd that no case can show',
    ...NOT_SHOWN.map(({ bugs, why }) => `- ${bugs}: ${why}.`),
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
