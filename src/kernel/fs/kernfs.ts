// SPDX-License-Identifier: GPL-2.0-only

/**
 * fs/kernfs, fs/sysfs (6.12): files of a driver's or the core's, with a function behind reading and one behind
 * writing. Nobody is in such a function any more once its file is removed.
 */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { list, list_add_tail, list_del, list_node } from '../../sim/collections/list.ts';
import { machine } from '../../sim/context.ts';
import { done } from '../../sim/coroutine.ts';
import { type Err, fail } from '../../sim/errno.ts';
import { bool } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { lock_acquired, lock_released } from '../../sim/sync/lock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EACCES, EFAULT, EIO, ENODEV, ENOENT, ENOMEM } from '../../uapi/errno.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from './fcntl.ts';
import type { file, file_operations } from './file.h.ts';

const fn = sourceFile('fs/kernfs/file.c');
const sysfs = sourceFile('fs/sysfs/file.c');

/** What is behind a file (struct attribute and its show and store). Absent: the file cannot be read, or written. */
export interface attribute {
  readonly name: string;
  show?(): Co<string | Err>;
  /** Bytes taken, all of them as a rule; or an errno. */
  store?(buf: string): Co<number>;
  /** DRIVER_ATTR_IGNORE_LOCKDEP: waiting for who is inside is no lock to lockdep. */
  readonly ignore_lockdep?: true;
}

/** A file or a symbolic link of sysfs. */
class kernfs_node extends struct('kernfs_node', root, {
  entry: list_node<kernfs_node>(),
  /** It is gone: nobody enters its functions any more. */
  removed: bool(),
}) {
  path = '';
  /** For a link: what it leads to. */
  target: string | null = null;
  attr: attribute | null = null;
  /** The tree's reference, and those of who has opened it. */
  count = 1;
  /** Who is inside of its functions. */
  active = 0;

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    super.$state(see);
    see(this.count);
    see(this.active);
  }
}

class sysfs_root extends struct('sysfs', root, { nodes: list<kernfs_node>() }) {}

const mounted = (): sysfs_root => machine().singleton(mount);
const mount = (creator: Named): sysfs_root => new sysfs_root(creator, 'sysfs', true);

// Paths are distinct, so that their order means nothing.
const ADD = op<sysfs_root>('kernfs_add_one', {
  commutes: ['kernfs_add_one', 'kernfs_remove'] as const,
  opaque: true,
});
const REMOVE = op<sysfs_root>('kernfs_remove', {
  commutes: ['kernfs_add_one', 'kernfs_remove'] as const,
  opaque: true,
});
const LOOKUP = op<sysfs_root>('kernfs_find', { commutes: ['kernfs_find'] as const, opaque: true });
const ACTIVE: readonly string[] = ['kernfs_get_active', 'kernfs_put_active'];
const GET = op<kernfs_node>('kernfs_get_active', { commutes: ACTIVE, opaque: true });
const PUT_ACTIVE = op<kernfs_node>('kernfs_put_active', { commutes: ACTIVE, opaque: true });
const PUT = op<kernfs_node>('kernfs_put');
const DEACTIVATE = op<kernfs_node>('kernfs_deactivate', { opaque: true });
const DRAIN = op<kernfs_node>('kernfs_drain', { ready: (kn) => kn.active === 0, sleeps: true });

function* add(kn: kernfs_node): Gen<void> {
  yield* operation(ADD, mounted(), ({ nodes }) => list_add_tail(kn.entry, nodes));
}

/** Makes a file at a path below /sys. -ENOMEM. */
export function* sysfs_create_file(creator: Named, path: string, attr: attribute): Gen<Err | 0> {
  const kn = kzalloc(kernfs_node, creator, attr.name);
  if (kn === null) return fail(ENOMEM, 'no memory for the file in sysfs');
  kn.path = path;
  kn.attr = attr;
  yield* add(kn);
  return 0;
}

/** Makes a symbolic link. -ENOMEM. */
export function* sysfs_create_link(creator: Named, path: string, target: string): Gen<Err | 0> {
  const kn = kzalloc(kernfs_node, creator, `${path.slice(path.lastIndexOf('/') + 1)}_link`);
  if (kn === null) return fail(ENOMEM, 'no memory for the link in sysfs');
  kn.path = path;
  kn.target = target;
  yield* add(kn);
  return 0;
}

/** Removes the file or link at a path, if there is one, and waits for who is inside of its functions. */
export function* sysfs_remove(path: string): Gen<void> {
  const kn = yield* operation(REMOVE, mounted(), ({ nodes }) => {
    for (const node of nodes) {
      if (node.path !== path) continue;
      list_del(node.entry);
      return node;
    }
    return null;
  });
  if (kn === null) return;
  if (kn.target === null) {
    yield* operation(DEACTIVATE, kn, () => {
      kn.removed = true;
      if (kn.attr?.ignore_lockdep === true) return;
      lock_acquired(kn);
      lock_released(kn);
    });
    yield* operation(DRAIN, kn, () => {});
  }
  yield* kernfs_put(kn);
}

function* kernfs_put(kn: kernfs_node): Gen<void> {
  if (yield* operation(PUT, kn, () => --kn.count === 0)) kfree(kn);
}

/** What is at a path, after links, with a reference; or null. */
function find({ nodes }: sysfs_root, path: string): kernfs_node | null {
  for (const node of nodes) {
    if (node.path === path && node.target === null) return node;
    if (node.target === null) continue;
    if (path === node.path || path.startsWith(`${node.path}/`)) {
      return find(mounted(), node.target + path.slice(node.path.length));
    }
  }
  return null;
}

/** False when the file is gone. */
const kernfs_get_active = (kn: kernfs_node): Co<boolean> =>
  operation(GET, kn, () => {
    if (kn.removed) return false;
    kn.active++;
    if (kn.attr?.ignore_lockdep !== true) lock_acquired(kn, true);
    return true;
  });

const kernfs_put_active = (kn: kernfs_node): Co<void> =>
  operation(PUT_ACTIVE, kn, () => {
    kn.active--;
    if (kn.attr?.ignore_lockdep !== true) lock_released(kn);
  });

/** Calls a function of the file's. -ENODEV: the file is gone. */
function* within<T>(kn: kernfs_node, body: (attr: attribute) => Co<T>): Gen<T | Err> {
  if (kn.attr === null || !(yield* kernfs_get_active(kn))) return fail(ENODEV, 'the file has been removed');
  const result = yield* body(kn.attr);
  yield* kernfs_put_active(kn);
  return result;
}

const sysfs_kf_write = sysfs('sysfs_kf_write', function* (kn: kernfs_node, buf: string): Gen<number> {
  if (buf.length === 0) return 0;
  return yield* within(kn, ({ store }) =>
    store === undefined ? done(fail(EIO, 'the file has no store')) : store(buf),
  );
});

const shown = (kn: kernfs_node): Gen<string | Err> =>
  within<string | Err>(kn, ({ show }) =>
    show === undefined ? done(fail(EIO, 'the file has no show')) : show(),
  );

const node_of = ({ private_data }: file): kernfs_node => {
  if (!(private_data instanceof kernfs_node)) throw new Error('the file is none of sysfs');
  return private_data;
};

/** The mode of the file must allow for it, also for root: sysfs asks for that. */
const may_open = (flags: number, { show, store }: attribute): Err | 0 => {
  const mode = flags & O_ACCMODE;
  if (mode !== O_WRONLY && show === undefined) return fail(EACCES, 'the file cannot be read');
  if (mode !== O_RDONLY && store === undefined) return fail(EACCES, 'the file cannot be written');
  return 0;
};

function* kernfs_open(kn: kernfs_node, flags: number): Gen<Err | 0> {
  const rc = yield* within<Err | 0>(kn, (attr) => done(may_open(flags, attr)));
  if (rc !== 0) yield* kernfs_put(kn);
  return rc;
}

const kernfs_fop_open = fn('kernfs_fop_open', function* (filp: file): Gen<Err | 0> {
  return yield* kernfs_open(node_of(filp), filp.f_flags);
});

const kernfs_fop_release = fn('kernfs_fop_release', function* (filp: file): Gen<void> {
  yield* kernfs_put(node_of(filp));
});

const kernfs_fop_write_iter = fn(
  'kernfs_fop_write_iter',
  function* (filp: file, buf: bigint, count: number): Gen<number> {
    const bytes = new Uint8Array(Math.min(count, PAGE_SIZE));
    if ((yield* copy_from_user(bytes, buf)) !== 0) return fail(EFAULT, 'the buffer cannot be read');
    // To a C string: what comes after a zero is not seen, and counts as taken.
    const [text = ''] = new TextDecoder('latin1').decode(bytes).split('\0');
    const taken = yield* sysfs_kf_write(node_of(filp), text);
    return taken === text.length ? bytes.length : taken;
  },
);

const kernfs_fop_read_iter = fn(
  'kernfs_fop_read_iter',
  function* (filp: file, buf: bigint, count: number): Gen<number> {
    const text = yield* shown(node_of(filp));
    if (typeof text === 'number') return text;
    const bytes = new TextEncoder().encode(text).subarray(0, count);
    return (yield* copy_to_user(buf, bytes)) === 0
      ? bytes.length
      : fail(EFAULT, 'the buffer cannot be written');
  },
);

const kernfs_file_fops: file_operations = {
  name: 'kernfs_file_fops',
  open: kernfs_fop_open,
  release: kernfs_fop_release,
  read: kernfs_fop_read_iter,
  write: kernfs_fop_write_iter,
};

function* lookup(path: string): Gen<kernfs_node | null> {
  return yield* operation(LOOKUP, mounted(), (sysfs) => {
    const node = find(sysfs, path);
    // No operation of its own: the file can only go after this one.
    if (node !== null) node.count++;
    return node;
  });
}

/** The file at a path, with a reference for who opens it, and what is done with it; null: there is none. */
export function* sysfs_lookup(
  path: string,
): Gen<{ readonly node: Observed; readonly f_op: file_operations } | null> {
  const node = yield* lookup(path);
  return node === null ? null : { node, f_op: kernfs_file_fops };
}

/**
 * What `echo text > path` does: open(2), write(2) and close(2), of a process whose memory and descriptors nobody
 * else sees, so that they are left out. -ENOENT: no such file; -EACCES; -ENODEV: removed; what the file says.
 */
export function* sysfs_echo(path: string, text: string): Gen<number> {
  const kn = yield* lookup(path);
  if (kn === null) return fail(ENOENT, 'no such file');
  const rc = yield* kernfs_open(kn, O_WRONLY);
  if (rc !== 0) return rc;
  const taken = yield* sysfs_kf_write(kn, text);
  yield* kernfs_put(kn);
  return taken;
}

/** What `cat path` shows; as sysfs_echo. */
export function* sysfs_cat(path: string): Gen<string | Err> {
  const kn = yield* lookup(path);
  if (kn === null) return fail(ENOENT, 'no such file');
  const rc = yield* kernfs_open(kn, O_RDONLY);
  if (rc !== 0) return rc;
  const text = yield* shown(kn);
  yield* kernfs_put(kn);
  return text;
}
