// SPDX-License-Identifier: GPL-2.0-only

/** Something that the user gave cannot be used: exit code 2. */
export class Unusable extends Error {
  override name = 'Unusable';
  /** What to do about it. */
  readonly remedy: string | undefined;

  constructor(message: string, remedy?: string) {
    super(message);
    this.remedy = remedy;
  }
}

export const EXIT = { ok: 0, failed: 1, unusable: 2, incomplete: 3, bug: 70 } as const;

/** How the user calls us, for commands that we tell him to type. */
export function oracle(): string {
  const isCheckout = process.env['npm_lifecycle_event'] === 'oracle' || process.env['VITEST'] !== undefined;
  if (isCheckout) return 'npm run -s oracle --';
  return process.env['npm_command'] === 'exec' ? 'npx vfio-oracle' : 'vfio-oracle';
}

/** Goldens are written where somebody reads the diff. Throws Unusable. */
export function refuseInCi(): void {
  if (['', '0', 'false'].includes(process.env['CI'] ?? '')) return;
  throw new Unusable(
    'goldens are not updated in CI (CI is set in the environment)',
    'update where somebody reads the diff',
  );
}
