// SPDX-License-Identifier: GPL-2.0-only

/** The device nodes under /dev that drivers have registered (drivers/base/devtmpfs.c, drivers/char/misc.c). */
import { list_add_tail, list_head, list_node } from '../../sim/collections/list.ts';
import { machine } from '../../sim/context.ts';
import type { Named } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import type { file_operations } from './file.ts';

/** A node that can be opened. */
export class device_node extends struct('device_node', root, { entry: list_node<device_node>() }) {
  readonly path: string;
  readonly f_op: file_operations;

  constructor(creator: Named, path: string, f_op: file_operations) {
    super(creator, path);
    this.path = path;
    this.f_op = f_op;
  }
}

const nodes = (): list_head<device_node> => machine().singleton(newNodes);
const newNodes = (creator: Named): list_head<device_node> => new list_head(creator, 'devtmpfs', true);

/** Makes a node; it is there from now on. */
export function devtmpfs_create_node(creator: Named, path: string, f_op: file_operations): device_node {
  const node = new device_node(creator, path, f_op);
  list_add_tail(node.entry, nodes());
  return node;
}

/** The node at a path, or null. */
export function devtmpfs_lookup(path: string): device_node | null {
  for (const node of nodes()) if (node.path === path) return node;
  return null;
}
