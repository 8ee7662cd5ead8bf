// SPDX-License-Identifier: GPL-2.0-only

/** Address spaces: what others need of them. */
export { PAGE_SIZE } from '../../hw/memory.ts';
export { user_load, user_store } from './access.ts';
export { dup_mm } from './fork.ts';
export {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  mm_struct,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from './mm_types.ts';
export { do_mmap, type MmapOptions, vm_mmap, vm_munmap } from './mmap.ts';
export { do_mprotect } from './mprotect.ts';
