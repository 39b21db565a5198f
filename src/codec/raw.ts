// The codec that leaves bytes as they are: the bound that no frame is larger than.

import { copyBytes } from '../base/bytes.ts';
import { VitrineError } from '../base/error.ts';
import type { Codec } from './codec.ts';

export const RAW_ID = 1;

export const RAW: Codec = {
  id: RAW_ID,
  name: 'raw',
  encode: (bytes) => bytes,
  decode(bytes, plainLength) {
    if (bytes.length !== plainLength) {
      throw new VitrineError('codec-damaged', {
        codec: 'raw',
        lengthBytes: bytes.length,
        expectedBytes: plainLength,
      });
    }
    return copyBytes(bytes);
  },
};
