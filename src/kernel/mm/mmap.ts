// SPDX-License-Identifier: GPL-2.0-only

/** mmap(2), munmap(2) and the end of an address space (mm/mmap.c, mm/util.c, mm/vma.c, 6.12). */
import { HPAGE_PMD_NR, PAGE_SIZE } from '../../hw/memory.ts';
import { writes } from '../../sim/collections/collection.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { down_read, down_write, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { EEXIST, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { anon_vma } from './anon_vma.ts';
import { address_space, ihold } from './filemap.ts';
import { default_hstate, hugetlb_acct_memory, resv_map } from './hugetlb.ts';
import { FAULT_FLAG_WRITE, handle_mm_fault } from './memory.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  type mm_struct,
  TASK_SIZE_MAX,
  VM_ACCESS_FLAGS,
  VM_HUGETLB,
  VM_IO,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
  va,
  type vm_area_struct,
  type vma_backing,
  vma_lookup,
} from './mm_types.ts';
import { get_unmapped_area } from './unmapped_area.ts';
import { may_split, unmap_vma, vm_area_alloc, vma_link, vmas_within } from './vma.ts';

export interface MmapOptions {
  /**
   * Where the kernel put the mapping when it was recorded, for a caller that left the choice to it: taken as
   * if by MAP_FIXED, as what the model may have there the kernel had not.
   */
  readonly placeAt?: bigint;
  /** What is mapped, without MAP_ANONYMOUS; the caller keeps its own reference. Absent: a file of zeros. */
  readonly file?: address_space;
  /** In bytes, a multiple of a page. */
  readonly offset?: bigint;
  /** VM_IO, VM_PFNMAP, VM_DONTCOPY: what the file's driver adds. */
  readonly vm_flags?: number;
  /** What the mapping is called in traces; it counts as any other role within the mm. */
  readonly role?: string;
}

const MMAP = op<Observed>('mmap', { opaque: true });
const MUNMAP = op<Observed>('munmap', { opaque: true });
const POPULATE = op<Observed>('populate', { sleeps: true, opaque: true });
const EXIT = op<Observed>('exit_mmap', { opaque: true });

const fn = sourceFile('mm/mmap.c');

/** What mmap was asked for, after the checks that need no lock. */
interface Request {
  readonly pages: number;
  readonly vm_flags: number;
  readonly flags: number;
  /** Page of the file. */
  readonly pgoff: number;
  readonly huge: boolean;
  /** It says whether it is shared or private. */
  readonly isTyped: boolean;
  readonly options: MmapOptions;
}

function request(len: bigint, prot: number, flags: number, options: MmapOptions): Request | Err {
  if ((flags & MAP_LOCKED) !== 0) throw new Unsupported('MAP_LOCKED');
  const huge = (flags & MAP_HUGETLB) !== 0;
  const unit = BigInt(huge ? PAGE_SIZE * HPAGE_PMD_NR : PAGE_SIZE);
  const offset = options.offset ?? 0n;
  if (offset % BigInt(PAGE_SIZE) !== 0n) return fail(EINVAL, 'the offset is not page-aligned');
  if (len === 0n) return fail(EINVAL, 'the length is 0');
  const size = BigInt.asUintN(64, ((len + unit - 1n) / unit) * unit);
  if (size === 0n) return fail(ENOMEM, 'the length rounded up is beyond 64 bits');
  if (size > TASK_SIZE_MAX) return fail(ENOMEM, 'the length is beyond the address space');
  const type = flags & MAP_TYPE;
  const anonymous = (flags & MAP_ANONYMOUS) !== 0;
  const shared = type === MAP_SHARED || (type === MAP_SHARED_VALIDATE && !anonymous);
  return {
    pages: Number(size / BigInt(PAGE_SIZE)),
    flags: (flags & MAP_FIXED_NOREPLACE) === 0 ? flags : flags | MAP_FIXED,
    pgoff: Number(offset / BigInt(PAGE_SIZE)),
    huge,
    options,
    isTyped: shared || type === MAP_PRIVATE,
    vm_flags:
      (prot & VM_ACCESS_FLAGS) |
      (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC) |
      (shared ? VM_SHARED | VM_MAYSHARE : 0) |
      (huge ? VM_HUGETLB : 0) |
      ((flags & MAP_NORESERVE) === 0 ? 0 : VM_NORESERVE) |
      (options.vm_flags ?? 0),
  };
}

/** The first page of the range, for a mapping that can be made there. mmap_lock is held. */
function place(mm: mm_struct, addr: bigint, asked: Request): number | Err {
  const first = choose(mm, addr, asked);
  if (IS_ERR(first)) return first;
  const last = first + asked.pages - 1;
  const replaces = mm.mm_mt.first(first, last) !== null;
  if ((asked.flags & MAP_FIXED_NOREPLACE) !== 0 && replaces) return fail(EEXIST, 'something is mapped there');
  if (!asked.isTyped) return fail(EINVAL, 'neither shared nor private');
  const rc = splittable(mm, first, last);
  return rc === 0 ? first : rc;
}

/** Where it was asked for, or where there is room (mm/mmap.c: __get_unmapped_area). */
function choose(mm: mm_struct, addr: bigint, asked: Request): number | Err {
  const { flags, huge, pages, options } = asked;
  const fixed = options.placeAt ?? ((flags & MAP_FIXED) === 0 ? undefined : addr);
  const page = BigInt(huge ? PAGE_SIZE * HPAGE_PMD_NR : PAGE_SIZE);
  if (fixed === undefined) return get_unmapped_area(mm, addr, pages, huge);
  if (huge && fixed % page !== 0n) return fail(EINVAL, 'the fixed address is not aligned to a huge page');
  if (fixed > TASK_SIZE_MAX - BigInt(pages * PAGE_SIZE)) return fail(ENOMEM, 'beyond the address space');
  if (fixed % page !== 0n) return fail(EINVAL, 'the fixed address is not page-aligned');
  return Number(fixed) / PAGE_SIZE;
}

/** Whether the mappings at the ends of a range can be split there: 0 or -EINVAL. */
function splittable(mm: mm_struct, first: number, last: number): Rc {
  for (const page of [first, last + 1]) {
    const vma = vma_lookup(mm, page);
    if (vma !== null && vma.first < page && !may_split(vma, page)) {
      return fail(EINVAL, 'the range ends within a huge page');
    }
  }
  return 0;
}

/** Makes the mapping, not in place yet (mm/mmap.c: __mmap_region). -ENOMEM: not enough huge pages. */
function create(mm: mm_struct, first: number, asked: Request): vm_area_struct | Err {
  const { pages, vm_flags, pgoff, options } = asked;
  let reserved: resv_map | null = null;
  if ((vm_flags & (VM_HUGETLB | VM_NORESERVE)) === VM_HUGETLB) {
    const rc = hugetlb_acct_memory(default_hstate(), pages / HPAGE_PMD_NR);
    if (rc !== 0) return rc;
    reserved = new resv_map(default_hstate(), pages / HPAGE_PMD_NR);
  }
  const role = options.role ?? 'vma';
  const last = first + pages - 1;
  return vm_area_alloc(mm, role, first, last, vm_flags, pgoff, (it) => back(it, first, asked, reserved));
}

/** What a new mapping shows. */
function back(vma: Named, first: number, asked: Request, reserved: resv_map | null): vma_backing {
  const { pages, vm_flags, flags, pgoff, huge, options } = asked;
  const shared = (vm_flags & VM_SHARED) !== 0;
  const pool = huge ? default_hstate() : null;
  let file = options.file ?? null;
  if (file !== null) {
    ihold(file);
  } else if (shared || huge || (flags & MAP_ANONYMOUS) === 0) {
    file = new address_space(vma, huge ? 'hugetlb' : shared ? 'shmem' : 'file', pgoff + pages, pool);
    if (shared) file.resv = reserved;
  }
  const anon = shared ? null : new anon_vma(vma, first, pages, file, pool);
  return { vm_file: file, anon_vma: anon, resv: shared ? null : reserved };
}

/**
 * mmap(2) for an address space that nobody else uses meanwhile: takes no lock, and is no point at which others
 * may go first. Otherwise as vm_mmap, without MAP_POPULATE.
 */
export function do_mmap(
  mm: mm_struct,
  addr: bigint,
  len: bigint,
  prot: number,
  flags: number,
  options: MmapOptions = {},
): va | Err {
  const asked = request(len, prot, flags, options);
  if (IS_ERR(asked)) return asked;
  const first = place(mm, addr, asked);
  if (IS_ERR(first)) return first;
  const last = first + asked.pages - 1;
  for (const vma of vmas_within(mm, first, last)) unmap_vma(vma, first, last);
  const made = create(mm, first, asked);
  if (IS_ERR(made)) return made;
  vma_link(made);
  return va(first * PAGE_SIZE);
}

/**
 * mmap(2): maps `len` bytes at `addr` as `prot` and `flags` (Linux's numbers) say; takes mmap_lock. Returns
 * the address, or -EINVAL (length 0, alignment, neither shared nor private), -ENOMEM (no room, beyond the
 * address space, not enough huge pages), -EEXIST (MAP_FIXED_NOREPLACE). MAP_POPULATE that fails is silent;
 * MAP_LOCKED is not modelled: throws Unsupported
 * (mm/util.c: vm_mmap_pgoff; mm/mmap.c: do_mmap, ksys_mmap_pgoff).
 */
export const vm_mmap = fn(
  'vm_mmap_pgoff',
  function* (
    mm: mm_struct,
    addr: bigint,
    len: bigint,
    prot: number,
    flags: number,
    options: MmapOptions = {},
  ): Gen<va | Err> {
    const asked = request(len, prot, flags, options);
    if (IS_ERR(asked)) return asked;
    yield* down_write(mm.mmap_lock);
    const vma = yield* locked_mmap(mm, addr, asked);
    yield* up_write(mm.mmap_lock);
    if (IS_ERR(vma)) return vma;
    const { first, last } = vma;
    if ((asked.flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE) yield* mm_populate(mm, first, last);
    return va(first * PAGE_SIZE);
  },
);

function* locked_mmap(mm: mm_struct, addr: bigint, asked: Request): Gen<vm_area_struct | Err> {
  const first = place(mm, addr, asked);
  if (IS_ERR(first)) return first;
  const last = first + asked.pages - 1;
  yield* unmap_range(mm, first, last);
  const vma = yield* operation(MMAP, asked.huge ? default_hstate() : mm, () => create(mm, first, asked));
  if (IS_ERR(vma)) return vma;
  if (asked.huge) yield* operation(MMAP, mm, () => writes(mm));
  yield* operation(MMAP, vma.order, () => vma_link(vma));
  return vma;
}

/**
 * Who finds nothing mapped announces what he does on the mm, who finds a mapping on its order. So mapping and
 * unmapping is announced on both, first on the mm: whatever comes before either is then another schedule.
 */
function* unmap_range(mm: mm_struct, first: number, last: number): Gen<void> {
  if (mm.mm_mt.first(first, last) === null) return;
  yield* operation(MUNMAP, mm, () => writes(mm));
  for (const vma of vmas_within(mm, first, last)) {
    yield* operation(MUNMAP, vma.order, () => unmap_vma(vma, first, last));
  }
}

/**
 * munmap(2) of whatever is mapped in [addr, addr + len), which may be nothing; takes mmap_lock. 0, or -EINVAL:
 * alignment, beyond the address space, length 0, part of a huge page (mm/vma.c: do_vmi_munmap).
 */
export const vm_munmap = fn('__vm_munmap', function* (mm: mm_struct, addr: bigint, len: bigint): Gen<Rc> {
  if (addr % BigInt(PAGE_SIZE) !== 0n) return fail(EINVAL, 'the address is not page-aligned');
  if (addr > TASK_SIZE_MAX || len > TASK_SIZE_MAX - addr) return fail(EINVAL, 'beyond the address space');
  if (len === 0n) return fail(EINVAL, 'the length is 0');
  const first = Number(addr) / PAGE_SIZE;
  const last = first + Math.ceil(Number(len) / PAGE_SIZE) - 1;
  yield* down_write(mm.mmap_lock);
  const rc = splittable(mm, first, last);
  if (rc === 0) yield* unmap_range(mm, first, last);
  yield* up_write(mm.mmap_lock);
  return rc;
});

/** Faults a range in, as far as it is mapped and can be touched (mm/gup.c: __mm_populate). */
function* mm_populate(mm: mm_struct, first: number, last: number): Gen<void> {
  yield* down_read(mm.mmap_lock);
  for (const vma of vmas_within(mm, first, last)) {
    if ((vma.vm_flags & (VM_IO | VM_PFNMAP)) !== 0 || (vma.vm_flags & VM_ACCESS_FLAGS) === 0) continue;
    yield* operation(POPULATE, vma.order, () => {
      const write = (vma.vm_flags & (VM_WRITE | VM_SHARED)) === VM_WRITE ? FAULT_FLAG_WRITE : 0;
      const end = Math.min(last, vma.last);
      for (let page = Math.max(first, vma.first); page <= end; ) {
        if (handle_mm_fault(vma, page, end, write) !== 0) return;
        const pte = vma.pgtable.first(page, end);
        page = pte === null || pte.start > page ? end + 1 : pte.last + 1;
      }
    });
  }
  yield* up_read(mm.mmap_lock);
}

/** The end of an address space: nobody uses it any more, but for the pins (mm/mmap.c: exit_mmap). */
export const exit_mmap = fn('exit_mmap', function* (mm: mm_struct): Gen<void> {
  yield* down_write(mm.mmap_lock);
  for (const vma of vmas_within(mm, 0, Number(TASK_SIZE_MAX) / PAGE_SIZE)) {
    yield* operation(EXIT, vma.order, () => unmap_vma(vma, vma.first, vma.last));
  }
  yield* up_write(mm.mmap_lock);
});
