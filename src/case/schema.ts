// SPDX-License-Identifier: GPL-2.0-only

/**
 * The case language. This one definition validates cases, and `case.schema.json` and docs/case-language.md
 * are made from it. Steps are not in it: each verb brings its own schema (step.ts, verbs/).
 */
import * as z from 'zod';
import { COMPLETION_ORDER } from '../hw/iommu.ts';
import { PROBE_FAILURES } from '../kernel/driver-core/dd.ts';
import { GENERIC_CAPABILITIES } from '../kernel/drivers/generic-iommu.ts';
import { driver_names } from '../kernel/drivers/modules.ts';
import { FAIL_IOMMUFD } from '../kernel/iommufd/selftest_inject.ts';
import { KCONFIG } from '../kernel/kconfig.ts';
import { ALL_CAPABILITIES } from '../kernel/sched/task.ts';
import { ALLOCATION } from '../sim/slab.ts';
import { SPURIOUS } from '../sim/sync/wait.ts';
import { LEVELS } from '../sim/text.ts';
import { decisions } from '../sim/variant.ts';
// With it the whole model, so that all its decision points are declared.
import { BUSES } from '../user/boot.ts';
import { FINDINGS } from './findings.ts';
import { once } from './once.ts';
import { ending, hexText, line, name, number, U64_MAX } from './words.ts';

/** A process has room for 64 threads; some are ours. */
export const MAX_TASKS = 60;
const MAX_STEPS = 50_000;
const MAX_TIME = 3600;

/** Kinds of choice that a case can open beside those between tasks. */
export const EARLY_TIMERS = 'early timers';
const INJECTIONS = [
  ALLOCATION,
  FAIL_IOMMUFD,
  ...PROBE_FAILURES,
  SPURIOUS,
  EARLY_TIMERS,
  COMPLETION_ORDER,
] as const;

const driver = (what: string) => z.enum(BUSES.flatMap(driver_names)).optional().describe(what);

const platform = () =>
  z.strictObject({
    iommu: z
      .enum(['mock', 'generic', 'vt-d', 'smmuv3', 'none'])
      .optional()
      .describe(
        'The kind of IOMMU. `mock` is the one of the iommufd selftests, and the default; `generic` is one of no make, for ' +
          'devices that sit on buses and have drivers.',
      ),
    capabilities: z
      .array(z.enum([...GENERIC_CAPABILITIES, 'dirty-tracking', 'nesting', 'pasid', 'pri', 'stall']))
      .optional()
      .describe(
        'What the IOMMU can do; absent: what is usual for its kind. `enforced-coherency`: no DMA passes the caches of the ' +
          'CPU by; `software-msi`: IOVA at 0x8000000 are for doorbells of MSIs that the kernel maps.',
      ),
    groups: z
      .record(name(), z.array(name()).min(1).max(64))
      .optional()
      .describe('The IOMMU groups, each with its devices.'),
    devices: z
      .record(
        name(),
        z.strictObject({
          bus: z.enum(BUSES).optional().describe('The bus it sits on; default pci.'),
          driver: driver('The driver that is bound at the start; default none.'),
          id: driver('The driver that has the device in its table of ids; default the first of its bus.'),
          capabilities: z
            .array(z.enum(['ats', 'pri', 'pasid', 'prg-response-pasid', 'no-snoop', 'sriov']))
            .optional()
            .describe('What the device can do.'),
        }),
      )
      .optional()
      .describe('More about devices of `groups`.'),
    memory: z
      .strictObject({
        size: number(1n << 20n, 1n << 46n)
          .optional()
          .describe('Bytes of RAM.'),
        huge_pages: z
          .int()
          .min(0)
          .max(1 << 20)
          .optional()
          .describe('Huge pages of 2 MiB set aside at boot.'),
      })
      .optional()
      .describe('The memory of the machine.'),
    kconfig: z
      .array(z.enum(KCONFIG))
      .optional()
      .describe(
        'Options that the kernel is built with. DEBUG_TEST_DRIVER_REMOVE: each driver is bound, unbound and bound again.',
      ),
  });

const processSchema = () =>
  z.strictObject({
    threads: z.array(name()).min(1).max(MAX_TASKS).describe('The tasks that are its threads.'),
    user: name().optional().describe('Whose it is; processes of one user share his limits. Default root.'),
    capabilities: z
      .array(z.enum([...ALL_CAPABILITIES]))
      .optional()
      .describe('What it may do; default everything.'),
    rlimit_memlock: number(0n, U64_MAX).optional().describe('RLIMIT_MEMLOCK in bytes; default 8M.'),
  });

const scriptLine = () =>
  z.union(
    [
      z.strictObject({
        run: z.string().min(1).max(200).describe('The task that goes on.'),
        until: z
          .string()
          .min(1)
          .max(200)
          .optional()
          .describe(
            'It stops when it is about to do this: `mutex_lock ioas1.mutex`, or `step second` for the step with that ' +
              'label. Absent: when it waits or ends.',
          ),
        nth: z
          .int()
          .min(2)
          .max(100_000)
          .optional()
          .describe('It stops when it is about to do that for the second time, or the third, and so on.'),
      }),
      z.strictObject({
        choose: z
          .string()
          .min(1)
          .max(200)
          .describe('The option that the next choice of another kind takes, by its label.'),
      }),
    ],
    'expected { "run": task, "until": operation } or { "choose": label }',
  );

export const schedule = () =>
  z.union(
    [
      z.enum(['run-to-block', 'round-robin']),
      z.strictObject({ random: z.int().min(0).max(0xffffffff).describe('The seed.') }),
      z.strictObject({
        replay: z
          .array(z.string().max(400))
          .max(100_000)
          .describe('The choices of a run, by label, in order.'),
        points: z
          .array(line(200))
          .optional()
          .describe(
            'Fields that race, such as `iopt_area.num_accesses`: other tasks may come in between at each access to them.',
          ),
      }),
      z.array(scriptLine()).max(10_000),
    ],
    'expected "run-to-block", "round-robin", { "random": seed }, { "replay": [labels] } or a list of { "run": task, "until": operation }',
  );
export type Schedule = z.infer<ReturnType<typeof schedule>>;

const plainValue = () => z.union([z.boolean(), z.int(), z.string().max(200), z.null()]);
export type PlainValue = z.infer<ReturnType<typeof plainValue>>;

const comparison = () =>
  z.union(
    [
      plainValue(),
      z.strictObject({
        not: plainValue().optional().describe('It is anything but this.'),
        in: z.array(plainValue()).max(100).optional().describe('It is one of these.'),
        lt: z.int().optional().describe('It is less than this.'),
        le: z.int().optional().describe('It is at most this.'),
        gt: z.int().optional().describe('It is more than this.'),
        ge: z.int().optional().describe('It is at least this.'),
      }),
    ],
    'expected a value (true, 1, "0x1000", a name, null), or { "not": value }, { "in": [values] }, { "ge": 1 }',
  );
export type Comparison = z.infer<ReturnType<typeof comparison>>;

export const condition = z
  .object({
    at: z
      .enum(['end', 'every-state'])
      .optional()
      .describe('When it is looked at: at the end of a run (the default), or in every state on the way.'),
    results: z
      .record(
        name(),
        z.union(
          [ending(), z.array(ending()).min(1)],
          'expected an errno, a fault, 0 for success, or a list of them',
        ),
      )
      .optional()
      .describe('How steps ended, by label: { "second": "EBUSY" }, { "dma": "not-mapped" }. 0 is success.'),
    data: z
      .record(name(), hexText())
      .optional()
      .describe('The bytes that steps got, by label: { "dma": "de ad be ef" }.'),
    get all() {
      return z.array(condition).optional().describe('Every one of these holds.');
    },
    get any() {
      return z.array(condition).min(1).optional().describe('At least one of these holds.');
    },
    get not() {
      return condition.optional().describe('This does not hold.');
    },
  })
  .catchall(z.lazy(comparison))
  .meta({
    id: 'condition',
    description:
      'Every part of it holds. A key is a path from an object of the run, by its name in the trace, over its fields: ' +
      '`ioas1.iopt.disable_large_pages`. The value is what must be there: a number, true, a constant, the name of an ' +
      'object, null for a pointer to nothing. An object by itself is null when it was freed or never made.',
  });
export type Condition = z.infer<typeof condition>;

const claim = () =>
  z.union(
    [z.enum(Object.keys(FINDINGS).filter(isKey)), condition],
    `expected a condition { … }, or what a checker finds: ${Object.keys(FINDINGS).join(', ')}`,
  );
const isKey = (word: string): word is keyof typeof FINDINGS => Object.hasOwn(FINDINGS, word);
export type Claim = z.infer<ReturnType<typeof claim>>;

const expectSchema = () =>
  z.strictObject({
    end: z
      .union([condition, z.array(condition)], 'expected a condition { … }, or a list of them')
      .optional()
      .describe('What holds when the run of this case, with its schedule, is over.'),
    always: z
      .array(claim())
      .optional()
      .describe('What holds in every interleaving. A single run can only refute it.'),
    sometimes: z
      .array(claim())
      .optional()
      .describe('What holds in at least one interleaving. A single run does not decide it.'),
    never: z
      .array(claim())
      .optional()
      .describe('What holds in no interleaving. A single run can only refute it.'),
  });

const VARIANT = 'Designs under discussion, by decision point; what is not named is as in Linux 6.12.';
const variant = () =>
  z.strictObject(
    Object.fromEntries(
      decisions.points().map(({ name, about, choices }) => [
        name,
        z
          .enum([...choices.keys()])
          .optional()
          .describe(`${about}.`),
      ]),
    ),
  );

const BUGS = 'Historical bugs that are put back, by the ids that `vfio-oracle variants` lists.';
const bugs = () => z.array(z.enum(decisions.bugs().map(({ id }) => id)));

const variants = () =>
  z
    .array(
      z.strictObject({
        variant: z.lazy(variant).optional().describe('Its choices, beside those of the case.'),
        bugs: z.lazy(bugs).optional().describe('Its bugs, beside those of the case.'),
        schedule: z.lazy(schedule).optional().describe("Who goes on there, instead of the case's schedule."),
        expect: z
          .lazy(expectSchema)
          .optional()
          .describe('What is expected there, beside `expect` of the case.'),
      }),
    )
    .min(1)
    .max(64);

const limits = () =>
  z.strictObject({
    steps: z
      .int()
      .min(1)
      .max(100_000_000)
      .optional()
      .describe('Steps after which a run is given up as endless; default 1000000.'),
    executions: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe('Interleavings after which an exploration is given up.'),
    seconds: z.int().min(1).max(MAX_TIME).optional().describe('Time after which an exploration is given up.'),
  });

/** The whole of a case file. `step` and `deviceStep`: the schema of a step of a task, of a device. */
export const caseSchema = <S extends z.ZodType, D extends z.ZodType>(step: S, deviceStep: D) =>
  z.strictObject({
    $schema: z.string().max(1000).optional().describe('Where case.schema.json is, for the editor.'),
    title: line(120).describe('One line: what the case shows.'),
    link: z
      .union([line(500), z.array(line(500))], 'expected a link, or a list of them')
      .optional()
      .describe('Where it comes from: a thread, a commit, a bug.'),
    platform: z.lazy(platform).optional().describe('The machine it runs on.'),
    variant: z.lazy(variant).optional().describe(VARIANT),
    bugs: z.lazy(bugs).optional().describe(BUGS),
    variants: z
      .lazy(variants)
      .optional()
      .describe(
        'Several designs: the case is run and explored on each, and its golden has a part for each. `{}` is the case ' +
          'as it stands.',
      ),
    processes: z
      .record(name(), z.lazy(processSchema))
      .optional()
      .describe('Whose threads the tasks are; what is not named here is a thread of one process of root.'),
    tasks: z
      .record(name(), z.array(step).max(MAX_STEPS))
      .describe('What the threads of user space do, each a list of steps. They start together.'),
    hardware: z
      .record(name(), z.array(deviceStep).max(MAX_STEPS))
      .optional()
      .describe(
        'What devices do by themselves, each a list of steps, beside the tasks. A device goes by the name of what a ' +
          'step makes ("as" of mock_domain), and does nothing before it is made.',
      ),
    schedule: z
      .lazy(schedule)
      .optional()
      .describe(
        'Who goes on when several could: "run-to-block" (the default), "round-robin", { "random": seed }, a list of ' +
          '{ "run": task, "until": operation }, or the choices of another run.',
      ),
    inject: z
      .array(z.enum(INJECTIONS))
      .optional()
      .describe(
        'Kinds of choice that are open beside those between tasks; a schedule answers them by `choose`. `allocation`: an ' +
          'allocation fails. `fail_iommufd`: as CONFIG_FAULT_INJECTION has it in iommufd. `spurious wake-up`: a sleeper ' +
          'wakes for nothing. `early timers`: time runs out though others could go on. `completion order`: the requests ' +
          'of a dma_read, one a page, are served in any order, as nothing in PCIe orders them. (In which order ' +
          'devices do what they do, and page requests come, is a choice between tasks.)',
      ),
    limits: z.lazy(limits).optional().describe('When to give up.'),
    trace: z
      .enum(LEVELS)
      .optional()
      .describe(
        'How much of the trace the golden holds. `api`: what user space asks and gets. `state` (the default): also ' +
          'every call and every change of state. `sync`: also every lock taken, wait and wake-up.',
      ),
    expect: z
      .lazy(expectSchema)
      .optional()
      .describe('The verdict, beside what each step expects of its answer.'),
  });

/** A case file whose steps are not yet looked at. */
export const outline = once((): z.ZodType<Outline> => caseSchema(z.unknown(), z.unknown()));
export type Outline = z.infer<ReturnType<typeof caseSchema<z.ZodUnknown, z.ZodUnknown>>>;
