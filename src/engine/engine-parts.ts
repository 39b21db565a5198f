// What the verbs of the engine share.

import type { Clock } from '../base/clock.ts';
import type { Codecs } from '../codec/codec.ts';
import type { Store } from '../store/store.ts';
import type { Digester } from './digester.ts';
import type { Lock } from './lock.ts';
import type { Objects } from './objects.ts';
import type { PageEncoder } from './page-encoder.ts';
import type { TableReader } from './table-reader.ts';

export interface EngineParts {
  readonly store: Store;
  readonly codecs: Codecs;
  readonly clock: Clock;
  readonly lock: Lock;
  readonly digester: Digester;
  readonly objects: Objects;
  readonly tables: TableReader;
  /** Threads for large saves, where there are some. */
  readonly encoder: PageEncoder | undefined;
}
