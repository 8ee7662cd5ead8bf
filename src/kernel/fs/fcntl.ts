// SPDX-License-Identifier: GPL-2.0-only

/** Flags of open() and its like: include/uapi/asm-generic/fcntl.h (6.12). */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
/** Reading, writing, or both. */
export const O_ACCMODE = 3;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
