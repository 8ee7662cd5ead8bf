// SPDX-License-Identifier: GPL-2.0-only
import type { WriteStream } from 'node:tty';
import pc from 'picocolors';
import { type Paint, plain } from '../case/place.ts';

/** Colour on a terminal; none in a pipe, with NO_COLOR, or on a dumb terminal. */
export function paint(stream: Pick<WriteStream, 'isTTY'>): Paint {
  return stream.isTTY && process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb'
    ? pc.createColors(true)
    : plain;
}
