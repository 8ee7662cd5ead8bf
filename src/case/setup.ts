// SPDX-License-Identifier: GPL-2.0-only

import { PAGE_SIZE } from '../hw/memory.ts';
import { GENERIC_CAPABILITIES } from '../kernel/drivers/generic-iommu.ts';
import { driver_names } from '../kernel/drivers/modules.ts';
import { default_hstate, set_max_huge_pages } from '../kernel/mm/hugetlb.ts';
import { vm_area_struct, vma_lookup } from '../kernel/mm/mm_types.ts';
/** The machine, the processes and the threads that a case asks for; and what becomes of them at the end. */
import { do_exit } from '../kernel/sched/fork.ts';
import { type process, task_struct, user_struct } from '../kernel/sched/task.ts';
import { context } from '../sim/context.ts';
import { Unsupported } from '../sim/errors.ts';
import type { Machine } from '../sim/machine.ts';
import type { Observed } from '../sim/observed.ts';
import type { Gen } from '../sim/task.ts';
import {
  boot,
  type DeviceAtBoot,
  isPlatform,
  type PlatformName,
  shutDown,
  type Topology,
} from '../user/boot.ts';
import { create_process, type ProcessOptions, Thread } from '../user/process.ts';
import type { Case, CaseTask } from './case.ts';
import { Handover } from './handover.ts';
import type { RunNames } from './names.ts';
import type { Outline } from './schema.ts';

export interface Stage {
  readonly processes: readonly process[];
  /** Memory that is there only to hold arguments of system calls. */
  readonly scratch: ReadonlySet<Observed>;
  /** It has devices with drivers. */
  readonly hasDrivers: boolean;
}

/** Boots, and makes the case's threads and devices, each with what it does. Throws Unsupported. */
export function setUp(
  it: Case,
  machine: Machine,
  names: RunNames,
  program: (task: CaseTask) => Gen<void>,
): Stage {
  const { outline } = it;
  const [platform, topology] = machineOf(outline);
  boot(machine, platform, topology);
  const hugePages = outline.platform?.memory?.huge_pages;
  if (hugePages !== undefined) set_max_huge_pages(default_hstate(), hugePages);
  const booted = machine.objects.length;
  for (const name of it.shared) names.share(name, new Handover(name));
  const users = new Map<string, user_struct>();
  const processOf = new Map<string, process>();
  for (const [name, { threads, user, capabilities, rlimit_memlock }] of Object.entries(
    outline.processes ?? {},
  )) {
    if (user !== undefined && !users.has(user)) users.set(user, new user_struct(machine.root, user));
    const owner = user === undefined ? undefined : users.get(user);
    const options: ProcessOptions = {
      ...(owner === undefined ? {} : { user: owner }),
      ...(capabilities === undefined ? {} : { capabilities: new Set(capabilities) }),
      ...(rlimit_memlock === undefined ? {} : { rlimit_memlock }),
    };
    const group = create_process(machine.root, name, options);
    for (const thread of threads) processOf.set(thread, group);
  }
  const forked = new Set(it.tasks.flatMap(({ steps }) => steps.flatMap((step) => step.forks ?? [])));
  for (const task of it.tasks) {
    if (task.isDevice) {
      machine.spawn(task.name, program(task));
      continue;
    }
    if (forked.has(task.name)) continue;
    const group = processOf.get(task.name) ?? processOf.get('') ?? create_process(machine.root, 'process');
    if (!processOf.has(task.name)) processOf.set('', group);
    new Thread(group, task.name, program(task));
  }
  // What is set up here is not the case's doing: the trace begins with its first call.
  machine.trace.clear();
  // A program that has just begun has mapped nothing of its own.
  const scratch = new Set<Observed>(
    machine.objects.slice(booted).filter((object) => object instanceof vm_area_struct),
  );
  const processes = [...new Set(processOf.values())];
  names.begin = (name, group) => {
    const task = it.tasks.find((each) => each.name === name);
    if (task === undefined) throw new Error(`no task is called ${name}`);
    // The parent does not look at what is the child's from now on.
    unwatched(() => {
      const thread = new Thread(group, name, program(task));
      const vma = group.mm && vma_lookup(group.mm, Number(thread.arguments) / PAGE_SIZE);
      if (vma !== null) scratch.add(vma);
    });
    processes.push(group);
  };
  return {
    processes,
    scratch,
    hasDrivers: topology.devices.length > 0,
  };
}

/** Does what nobody in the run does. */
export function unwatched<T>(work: () => T): T {
  const { watch } = context;
  context.watch = null;
  const value = work();
  context.watch = watch;
  return value;
}

/** What the case asks of the machine that nothing models yet is said, not passed over. */
function machineOf({ platform = {}, hardware = {} }: Outline): readonly [PlatformName, Topology] {
  const {
    iommu = 'mock',
    groups = {},
    devices = {},
    kconfig,
    memory,
    capabilities: wanted,
    ...rest
  } = platform;
  if (memory?.size !== undefined) throw new Unsupported('platform.memory.size');
  for (const [key, value] of Object.entries(rest))
    if (value !== undefined) throw new Unsupported(`platform.${key}`);
  if (!isPlatform(iommu)) throw new Unsupported(`platform ${iommu}`);
  if (wanted !== undefined && iommu !== 'generic') throw new Unsupported(`platform.capabilities of ${iommu}`);
  const capabilities = wanted?.map((it) => {
    const known = GENERIC_CAPABILITIES.find((each) => each === it);
    if (known === undefined) throw new Unsupported(`platform.capabilities: ${it}`);
    return known;
  });
  const present = Object.entries(groups).flatMap(([group, members]) =>
    members.map((name): DeviceAtBoot => {
      const { bus = 'pci', driver, id = driver_names(bus)[0] ?? '', capabilities } = devices[name] ?? {};
      if (capabilities !== undefined) throw new Unsupported('capabilities of devices');
      return { name, bus, group, id, driver };
    }),
  );
  if (present.some(({ name }) => hardware[name] !== undefined))
    throw new Unsupported('devices of the platform that act by themselves');
  if (iommu === 'mock' && present.length > 0)
    throw new Unsupported('devices of its own behind the mock IOMMU');
  return [iommu, { devices: present, kconfig, capabilities }];
}

/**
 * The processes exit, one after the other, and the drivers go: what is left then is left for ever. False: the
 * policy wants to see no more of it.
 */
export function tearDown(machine: Machine, { processes, hasDrivers }: Stage): boolean {
  for (const group of processes) {
    if (group.exited) continue;
    machine.scheduler.add(new task_struct(machine.root, `${group.name}.exit`, exit(), group));
    if (machine.run().status === 'abandoned') return false;
  }
  return !hasDrivers || shutDown(machine).status !== 'abandoned';
}

function* exit(): Gen<void> {
  yield* do_exit();
}
