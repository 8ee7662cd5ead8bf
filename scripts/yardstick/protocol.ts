// SPDX-License-Identifier: GPL-2.0-only

/**
 * Who owns the DMA of an IOMMU group, in two designs that were discussed for it: what ownership.pml is for SPIN,
 * as a program of our own engine. N devices, each with a thread of the driver core that probes and removes; VFIO,
 * which claims the group and releases it. From the thread on "[PATCH v6 02/11] driver core: Add dma_cleanup
 * callback in bus_type", February 2022.
 */
import type { ExecuteWatched } from '../../src/explore/traces.ts';
import { context, current } from '../../src/sim/context.ts';
import { bool, embed, enumeration, int } from '../../src/sim/field.ts';
import { Machine } from '../../src/sim/machine.ts';
import { root, struct } from '../../src/sim/struct.ts';
import { Symmetry } from '../../src/sim/symmetry.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../src/sim/sync/mutex.ts';
import { READ_ONCE, WRITE_ONCE } from '../../src/sim/sync/rcu.ts';
import type { Co, Gen } from '../../src/sim/task.ts';
import { beginOperation } from '../../src/sim/told.ts';
import { NoTrace, Trace } from '../../src/sim/trace.ts';

const OWNER = { NONE: 0, DMA_API: 1, VFIO: 2 };

class device extends struct('yardstick_device', root, { driver: bool() }) {}

class iommu_group extends struct('yardstick_group', root, {
  mutex: embed(mutex),
  owner: enumeration(OWNER),
  owner_cnt: int(),
  /** Not of the protocol: VFIO has the group, whatever `owner` says. */
  claimed: bool(),
}) {}

export interface Protocol {
  /**
   * `count`, design A: the group counts its users. `walk`, design B: no count; a removal walks the devices, and a
   * probe that is refused clears dev.driver after unlocking.
   */
  readonly design: 'count' | 'walk';
  readonly devices: number;
  /** Every access is a step, as in ownership.pml; else only those that no lock protects. */
  readonly everyAccess: boolean;
}

/** The program. `violated` is called whenever a run has a driver take a group that VFIO has. */
export function ownership({ design, devices, everyAccess }: Protocol, violated: () => void): ExecuteWatched {
  const noTrace = new NoTrace();
  const trace = new Trace();
  const access: Access = everyAccess ? marked : plain;
  const probe = design === 'count' ? countedProbe : plainProbe;
  const remove = design === 'count' ? countedRemove : walkingRemove;
  return (policy, watch) => {
    const machine = new Machine(policy, {}, watch === undefined ? noTrace : trace).powerOn();
    const group = new iommu_group(machine.root, 'group');
    const all = Array.from({ length: devices }, (_, i) => new device(machine.root, `dev${i + 1}`));
    for (const dev of all) machine.spawn(`core.${dev.name}`, driverCore(dev));
    machine.spawn('vfio', claimer(group, design, access));
    context.watch = watch ?? null;
    return { machine, ending: machine.run() };

    function* driverCore(dev: device): Gen<void> {
      beginOperation(current(), 'probe');
      yield* WRITE_ONCE(dev, 'driver', true);
      yield* mutex_lock(group.mutex);
      const taken = yield* probe(group, access);
      if (taken && group.claimed) violated();
      yield* mutex_unlock(group.mutex);
      beginOperation(current(), taken ? 'remove' : 'refused');
      yield* WRITE_ONCE(dev, 'driver', false);
      if (!taken) return;
      yield* mutex_lock(group.mutex);
      yield* remove(group, access, all, dev);
      yield* mutex_unlock(group.mutex);
    }
  };
}

/**
 * The devices, each with its thread, taken for interchangeable. They are in design A; in B a walk passes them in
 * their order, which exploration finds out.
 */
export const devicesAlike = ({ devices }: Protocol): Symmetry =>
  new Symmetry([Array.from({ length: devices }, (_, i) => [`dev${i + 1}`, `core.dev${i + 1}`])]);

/** How a field is accessed that the group's mutex protects. */
interface Access {
  get<K extends 'owner' | 'owner_cnt'>(group: iommu_group, field: K): Co<iommu_group[K]>;
  set<K extends 'owner' | 'owner_cnt'>(group: iommu_group, field: K, value: iommu_group[K]): Co<void>;
}

const marked: Access = { get: READ_ONCE, set: WRITE_ONCE };

const plain: Access = {
  *get(group, field) {
    return group[field];
  },
  *set(group, field, value) {
    group[field] = value;
  },
};

function* countedProbe(group: iommu_group, { get, set }: Access): Gen<boolean> {
  if ((yield* get(group, 'owner_cnt')) > 0 && (yield* get(group, 'owner')) !== OWNER.DMA_API) return false;
  yield* set(group, 'owner', OWNER.DMA_API);
  yield* set(group, 'owner_cnt', group.owner_cnt + 1);
  return true;
}

function* countedRemove(group: iommu_group, { get, set }: Access): Gen<void> {
  yield* set(group, 'owner_cnt', group.owner_cnt - 1);
  if ((yield* get(group, 'owner_cnt')) === 0) yield* set(group, 'owner', OWNER.NONE);
}

function* plainProbe(group: iommu_group, { get, set }: Access): Gen<boolean> {
  if ((yield* get(group, 'owner')) === OWNER.VFIO) return false;
  yield* set(group, 'owner', OWNER.DMA_API);
  return true;
}

function* walkingRemove(
  group: iommu_group,
  { set }: Access,
  devices: readonly device[],
  dev: device,
): Gen<void> {
  let used = false;
  for (const other of devices) if (other !== dev && (yield* READ_ONCE(other, 'driver'))) used = true;
  if (!used) yield* set(group, 'owner', OWNER.NONE);
}

function* claimer(group: iommu_group, design: Protocol['design'], { get, set }: Access): Gen<void> {
  yield* mutex_lock(group.mutex);
  const free =
    design === 'count' ? (yield* get(group, 'owner_cnt')) === 0 : (yield* get(group, 'owner')) === OWNER.NONE;
  if (free) {
    yield* set(group, 'owner', OWNER.VFIO);
    if (design === 'count') yield* set(group, 'owner_cnt', 1);
    group.claimed = true;
  }
  yield* mutex_unlock(group.mutex);
  if (!free) return;
  yield* mutex_lock(group.mutex);
  if (design === 'count') yield* set(group, 'owner_cnt', 0);
  yield* set(group, 'owner', OWNER.NONE);
  group.claimed = false;
  yield* mutex_unlock(group.mutex);
}
