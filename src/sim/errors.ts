// SPDX-License-Identifier: GPL-2.0-only

/** BUG_ON: the task that met it is dead; the locks it held stay held. */
export class Oops extends Error {
  override name = 'Oops';
}

/** Unwinds a task's JavaScript stack when its run has ended in the middle of a step. */
export class Unwind extends Error {
  override name = 'Unwind';
}

/** The run came to something that is not modelled: what follows is unknown. `what` names it for users. */
export class Unsupported extends Error {
  override name = 'Unsupported';
  readonly what: string;

  constructor(what: string) {
    super(`${what} is not modelled`);
    this.what = what;
  }
}
