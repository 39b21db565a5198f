// Bytes on their way to a reader who may be slow, in a file without a name: written as fast as they come, read as they are
// wanted, gone when it is closed, however this process ends. In memory there is no more of them than a part.

import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { OwnedBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { MIB } from '../../base/limits.ts';
import type { Spool } from '../../bridge/host.ts';

const PART_BYTES = MIB;

let opened = 0;

/** Opens one in a folder. Throws what the file system throws. */
export async function openFileSpool(folder: string): Promise<Spool> {
  const path = join(folder, `spool-${process.pid}-${++opened}`);
  const file = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
  } catch (error) {
    await file.close();
    throw error;
  }
  return new FileSpool(file);
}

class FileSpool implements Spool {
  readonly #file: FileHandle;
  #writtenBytes = 0;
  #isEnded = false;
  #wake: () => void = () => {};
  /** Settles when the read or write under way has: a file is closed between two. */
  #busy: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(bytes: OwnedBytes): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#turn(() =>
          this.#file.write(bytes, done, bytes.length - done, this.#writtenBytes),
        );
        done += bytesWritten;
        this.#writtenBytes += bytesWritten;
        this.#wake();
      }
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw cause;
      throw new VitrineError('store-full', { bytes: this.#writtenBytes + bytes.length }, { cause });
    }
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  async *parts(): AsyncGenerator<OwnedBytes> {
    for (let at = 0; ; ) {
      const length = Math.min(PART_BYTES, this.#writtenBytes - at);
      if (length > 0) {
        // A new one each time: the channel has it from now on.
        const part = new Uint8Array(length);
        const { bytesRead } = await this.#turn(() => this.#file.read(part, 0, length, at));
        at += bytesRead;
        yield part.subarray(0, bytesRead);
      } else if (this.#isEnded) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.end();
    await this.#busy;
    await this.#file.close();
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new VitrineError('wrong-state', { actual: 'closed', required: 'open' });
    const working = work();
    this.#busy = Promise.allSettled([this.#busy, working]);
    return working;
  }
}
