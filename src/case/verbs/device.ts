// SPDX-License-Identifier: GPL-2.0-only

/** What devices do by themselves: DMA. */
import { type dma_end, dma_read as read, dma_write as write } from '../../hw/iommu.ts';
import { dma_port } from '../../user/device.ts';
import { compareBytes, hexOf, received, receivedLength } from '../bytes.ts';
import { type Answer, deviceVerb } from '../step.ts';
import { data, operand, show } from '../words.ts';

const endOf = ({ done, fault }: dma_end): Answer => ({
  ret: BigInt(done),
  ...(fault === null ? {} : { fault }),
});

export const dma_read = deviceVerb({
  verb: 'dma_read',
  about: 'The device reads memory, at an address that its IOMMU translates.',
  example: '{ "dma_read": "iova+0x10", "data": "de ad be ef" }',
  shape: () => ({
    dma_read: operand().describe('The IOVA.'),
    ...received(),
  }),
  prepare: (step, scope) => {
    const iova = scope.operand(['dma_read'], step.dma_read);
    const length = receivedLength(step, ['dma_read'], scope);
    const device = scope.task;
    return {
      text: `dma_read(${iova.text}, ${show(BigInt(length))})`,
      *call(names) {
        const end = yield* read(dma_port(device), BigInt.asUintN(64, iova.of(names)), length);
        const wanted = end.fault === null ? step.data : step.data?.subarray(0, end.done);
        return {
          ...endOf(end),
          data: end.data,
          text: hexOf(end.data),
          ...compareBytes(end.data, wanted),
        };
      },
    };
  },
});

export const dma_write = deviceVerb({
  verb: 'dma_write',
  about: 'The device writes to memory, at an address that its IOMMU translates.',
  example: '{ "dma_write": "iova", "data": "de ad be ef", "fault": "not-permitted" }',
  shape: () => ({
    dma_write: operand().describe('The IOVA.'),
    data: data().describe('The bytes.'),
  }),
  prepare: (step, scope) => {
    const iova = scope.operand(['dma_write'], step.dma_write);
    const device = scope.task;
    return {
      text: `dma_write(${iova.text}, ${hexOf(step.data)})`,
      *call(names) {
        return endOf(yield* write(dma_port(device), BigInt.asUintN(64, iova.of(names)), step.data));
      },
    };
  },
});
