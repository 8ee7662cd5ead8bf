// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/base/dd.c (6.12): devices whose probe is put off until another device has found its driver. The mutex
 * that guards the lists nests inside everything and is not modelled: what is done under it is one operation.
 */
import {
  list,
  list_add_tail,
  list_del_init,
  list_empty,
  list_first_entry_or_null,
  list_splice_tail,
} from '../../sim/collections/list.ts';
import { machine } from '../../sim/context.ts';
import { embed } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { root, struct } from '../../sim/struct.ts';
import { INIT_WORK, queue_work, work_struct, workqueue_struct } from '../../sim/sync/workqueue.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { bus_probe_device } from './bus.ts';
import { type device, put_device } from './device.ts';

const fn = sourceFile('drivers/base/dd.c');

/** Works of the unbound queue that may run at once. */
const WQ_MAX_ACTIVE = 512;

class deferred_probe extends struct('deferred_probe', root, {
  pending_list: list<device>(),
  active_list: list<device>(),
  work: embed(work_struct),
}) {
  /** Not recorded: it counts all that was ever bound. */
  trigger_count = 0;
  readonly wq = new workqueue_struct(this, 'system_unbound_wq', WQ_MAX_ACTIVE, true);

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    super.$state(see);
    see(this.trigger_count);
  }
}

function boot(creator: Named): deferred_probe {
  const it = new deferred_probe(creator, 'deferred_probe', true);
  INIT_WORK(it.work, () => deferred_probe_work_func());
  return it;
}

const deferred = (): deferred_probe => machine().singleton(boot);

const LEAVE: readonly string[] = ['driver_deferred_probe_del', 'driver_deferred_probe_trigger'];
const ADD = op<deferred_probe>('driver_deferred_probe_add', { opaque: true, sleeps: true });
const DEL = op<deferred_probe>('driver_deferred_probe_del', { opaque: true, sleeps: true, commutes: LEAVE });
const TRIGGER = op<deferred_probe>('driver_deferred_probe_trigger', {
  opaque: true,
  sleeps: true,
  commutes: LEAVE,
});
const TAKE = op<deferred_probe>('take deferred probe', { opaque: true, sleeps: true });
const COUNT = op<deferred_probe>('atomic_read trigger_count', {
  commutes: ['atomic_read trigger_count', 'driver_deferred_probe_add', 'driver_deferred_probe_del'] as const,
  opaque: true,
});

/** How often devices were told to try again. */
export const deferred_trigger_count = (): Co<number> =>
  operation(COUNT, deferred(), (it) => it.trigger_count);

/** Puts the device off until the next trigger. One for which no driver was found is not. */
export const driver_deferred_probe_add = fn('driver_deferred_probe_add', function* (dev: device): Gen<void> {
  if (!dev.can_match) return;
  yield* operation(ADD, deferred(), (it) => {
    if (list_empty(dev.deferred_probe)) list_add_tail(dev.deferred_probe, it.pending_list);
  });
});

/** The device is put off no longer. */
export const driver_deferred_probe_del = fn('driver_deferred_probe_del', function* (dev: device): Gen<void> {
  yield* operation(DEL, deferred(), () => {
    if (!list_empty(dev.deferred_probe)) list_del_init(dev.deferred_probe);
  });
});

/** Has all that were put off try again. Linux queues the work also when there are none, to no effect. */
export const driver_deferred_probe_trigger = fn('driver_deferred_probe_trigger', function* (): Gen<void> {
  const it = deferred();
  const some = yield* operation(TRIGGER, it, () => {
    it.trigger_count += 1;
    list_splice_tail(it.pending_list, it.active_list);
    return !list_empty(it.active_list);
  });
  if (some) yield* queue_work(it.wq, it.work);
});

const deferred_probe_work_func = fn('deferred_probe_work_func', function* (): Gen<void> {
  for (;;) {
    const dev = yield* operation(TAKE, deferred(), ({ active_list }) => {
      const first = list_first_entry_or_null(active_list);
      if (first === null) return null;
      list_del_init(first.deferred_probe);
      first.kobj.kref.refs += 1;
      return first;
    });
    if (dev === null) return;
    yield* bus_probe_device(dev);
    yield* put_device(dev);
  }
});
