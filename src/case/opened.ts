// SPDX-License-Identifier: GPL-2.0-only
import { devtmpfs_lookup } from '../kernel/fs/devtmpfs.ts';

/**
 * What the objects behind a freshly opened descriptor will be called: what the file stands for has the name
 * that the case gives, the struct file itself the name and `.file`.
 */
export function fileObjects(path: string, name: string | undefined): readonly (readonly [role: string, name: string])[] {
  const role = devtmpfs_lookup(path)?.file_role;
  if (name === undefined || role === undefined) return [];
  return [
    [role, `${name}.file`],
    [role, name],
  ];
}
