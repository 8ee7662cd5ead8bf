// SPDX-License-Identifier: GPL-2.0-only

/** How Linux encodes ioctl numbers on x86-64: include/uapi/asm-generic/ioctl.h. */

const _IOC_NRBITS = 8;

/**
 * The command word of an ioctl that does not encode its argument: direction and size, the upper half, are 0.
 * All of VFIO's and iommufd's are such.
 */
export const _IO = (type: number, nr: number): number => (type << _IOC_NRBITS) | nr;

/** The number within its type of a command word. */
export const _IOC_NR = (cmd: number): number => cmd & ((1 << _IOC_NRBITS) - 1);
