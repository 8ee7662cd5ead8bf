// SPDX-License-Identifier: GPL-2.0-only

/** What `new` writes: a case that runs, with a word on everything that one needs soon. */
export const caseTemplate = (name: string, schema: string): string => `{
  "$schema": "${schema}",
  // What this case pins, and where that comes from: a thread, a commit, a bug report.
  "title": "${name.slice(name.lastIndexOf('/') + 1)}: an address space is destroyed once",
  // "link": "https://lore.kernel.org/…",

  // Each task is a thread, and its steps are what it does. Without "processes" all are threads of one process.
  "tasks": {
    "vmm": [
      // "as" names what a call makes: a descriptor, an id, a buffer. Other steps use the name.
      { "open": "/dev/iommu", "as": "iommufd" },
      { "ioas_alloc": "iommufd", "as": "ioas1" },
      // Every ioctl can be made by its own name, with its own fields; "out" says what must come back.
      {
        "ioctl": "IOMMU_OPTION",
        "on": "iommufd",
        "with": { "option_id": "IOMMU_OPTION_HUGE_PAGES", "object_id": "ioas1", "op": "IOMMU_OPTION_OP_GET" },
        "out": { "val64": 1 },
      },
      { "destroy": "ioas1" },
      // A step must succeed, unless it says otherwise: one errno, several with 0 for success, or "any": true.
      { "destroy": "ioas1", "errno": "ENOENT" },
    ],

    // Another thread, for a race. What it uses and another task makes, it waits for.
    // "other": [{ "destroy": "ioas1", "errno": [0, "ENOENT"] }],
  },

  // Who goes on when several could. Without it each task runs until it waits.
  // "schedule": [{ "run": "vmm", "until": "mutex_lock ioas1.mutex" }, { "run": "other" }],

  // How much the golden holds: "api" (calls and answers), "state" (the default), "sync" (locks and wake-ups too).
  // "trace": "api",

  "expect": {
    // What holds at the end. A path goes from a name over the fields of the object; null: it was freed.
    "end": { "ioas1": null },
  },
}
`;
