// Files that commands write: there when they are whole, and not before. What is no file, as a device or a pipe, is written to as it is.

import {
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { VitrineError } from '../../base/error.ts';
import { namingFile } from '../file-error.ts';

export class OutputFile {
  readonly #path: string;
  /** What is written until it is whole; undefined for what is no file. */
  readonly #part: string | undefined;
  readonly #mayReplace: boolean;
  readonly #file: number;
  #isOpen = true;
  #sizeBytes = 0;

  /**
   * Begins one, which only its owner reads unless `mode` says otherwise. Unless it may, it replaces nothing.
   *
   * Throws `argument-invalid` for a folder and for a file that is there, `not-found` without its folder, `store-full`, `store-io`.
   */
  constructor(path: string, { mayReplace = true, mode = 0o600 } = {}) {
    this.#mayReplace = mayReplace;
    const found = namingFile(path, () => statSync(path, { throwIfNoEntry: false }));
    if (found?.isDirectory()) throw new VitrineError('argument-invalid', { file: path, wants: 'a file' });
    const isFile = found === undefined || found.isFile();
    if (isFile && found !== undefined && !mayReplace) refuseToReplace(path);
    // A link stays one, and what it leads to is replaced.
    this.#path = found === undefined ? path : realpathSync(path);
    this.#part = isFile ? `${this.#path}.${process.pid}.part` : undefined;
    this.#file = namingFile(path, () => openSync(this.#part ?? path, isFile ? 'wx' : 'w', mode));
  }

  /** Throws `store-full`, `store-io`. */
  write(bytes: Uint8Array): void {
    namingFile(this.#path, () => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    });
    this.#sizeBytes += bytes.length;
  }

  /** It is whole, and on the disk. Returns its bytes. Throws as `write`, and `argument-invalid` when another one came before it. */
  keep(): number {
    const part = this.#part;
    if (part !== undefined) {
      namingFile(this.#path, () => fsyncSync(this.#file));
      if (!this.#mayReplace && statSync(this.#path, { throwIfNoEntry: false }) !== undefined)
        refuseToReplace(this.#path);
      namingFile(this.#path, () => renameSync(part, this.#path));
    }
    return this.#sizeBytes;
  }

  /** What was not kept is gone. May be called again. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#file);
    if (this.#part !== undefined) rmSync(this.#part, { force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function refuseToReplace(file: string): never {
  throw new VitrineError('argument-invalid', { file, reason: 'it is there', allowedBy: '--force' });
}
