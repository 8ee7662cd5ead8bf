// SPDX-License-Identifier: GPL-2.0-only

/** The table of verbs. A new one is an entry in a file here, and its name in a list below. */
import type { Verb } from '../step.ts';
import { close, eventfd, open, read, write } from './file.ts';
import { ioctl } from './ioctl.ts';
import { copy, destroy, ioas_alloc, map, option, unmap } from './iommufd.ts';
import { load, mmap, mprotect, munmap, store } from './memory.ts';
import { exit } from './process.ts';
import {
  access_pages,
  access_replace_ioas,
  access_rw,
  add_reserved,
  check_map,
  check_refs,
  create_access,
  destroy_access_pages,
  mock_domain,
} from './selftest.ts';

/** What tasks can do, in the order of the documentation. */
export const taskVerbs: readonly Verb[] = [
  open,
  close,
  ioctl,
  ioas_alloc,
  destroy,
  option,
  map,
  copy,
  unmap,
  mock_domain,
  check_map,
  check_refs,
  create_access,
  access_pages,
  destroy_access_pages,
  access_rw,
  access_replace_ioas,
  add_reserved,
  mmap,
  munmap,
  mprotect,
  store,
  load,
  read,
  write,
  eventfd,
  exit,
];

/** What devices can do by themselves. */
export const deviceVerbs: readonly Verb[] = [];
