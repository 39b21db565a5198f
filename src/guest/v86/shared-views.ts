// What in v86's JavaScript gives views on its memory to functions that refuse shared ones, overridden on the instance.
// All of 0.5.462 was searched for such functions; the others get copies or never see that memory:
//
//   | v86                                        | Refused by                  | Here                               |
//   |--------------------------------------------|-----------------------------|------------------------------------|
//   | `vga.set_size_graphical`, the picture      | `ImageData`                 | pixels of its own, copied when shown |
//   | `restore_state` of a zstd-compressed state | `TextDecoder.decode`        | decompressed into bytes of our own |
//   | `zstd_decompress` (disk images, 9p)        | none, but gives shared bytes | a copy                             |
//   | `codegen_finalize`                         | `WebAssembly.instantiate`   | `compiled-code.ts`                 |
//
// A screen that is replaced (`headless-screen.ts`) needs no ImageData. Images given to v86 compressed are decompressed
// before a guest is made of it: those are to be given plain.

import { VitrineError } from '../../base/error.ts';
import { isShared } from '../../memory/shared-memory.ts';
import { setPictureSize } from './picture-size.ts';
import type { V86Cpu, V86Emulator, V86ImageData, V86Layer } from './v86-internals.ts';

/** The first word of a zstd frame. */
const ZSTD_MAGIC = 0xfd2f_b528;
/** Of v86's state: magic, version, length of all of it, length of its description. */
const STATE_HEADER_BYTES = 16;
/** Decompressed at a time; v86's own function takes as much. */
const CHUNK_BYTES = 1 << 20;

/**
 * Lets a machine with shared memory do all that one with private memory does. `keepsScreen` says that v86's own screen
 * draws it. Nothing happens where memory is private. Returns what gives the emulator its functions back.
 */
export function allowSharedViews(
  emulator: V86Emulator,
  { keepsScreen }: { readonly keepsScreen: boolean },
): () => void {
  const { cpu } = emulator.v86;
  if (!isShared(cpu.wasm_memory.buffer)) return () => {};
  const { restore_state, zstd_decompress } = emulator;
  emulator.restore_state = async (state) =>
    restore_state.call(emulator, isCompressed(state) ? decompressState(cpu, state) : state);
  emulator.zstd_decompress = (sizeBytes, source) =>
    new Uint8Array(zstd_decompress.call(emulator, sizeBytes, source)).slice().buffer;
  const giveScreenBack = keepsScreen ? drawFromCopies(emulator) : () => {};
  return () => {
    Object.assign(emulator, { restore_state, zstd_decompress });
    giveScreenBack();
  };
}

function drawFromCopies(emulator: V86Emulator): () => void {
  const { cpu } = emulator.v86;
  const { vga } = cpu.devices;
  const { screen, set_size_graphical } = vga;
  const { update_buffer } = screen;
  vga.set_size_graphical = (...size) =>
    setPictureSize(emulator, size, (_, width, height) => ownPicture(width, height));
  screen.update_buffer = (layers) => {
    for (const layer of layers) copyPixels(cpu, layer);
    update_buffer.call(screen, layers);
  };
  return () => {
    Object.assign(vga, { set_size_graphical });
    Object.assign(screen, { update_buffer });
  };
}

/** A picture for a canvas, or of the same shape where there is none. */
function ownPicture(width: number, height: number): V86ImageData {
  if (typeof ImageData !== 'undefined') return new ImageData(width, height);
  return { data: new Uint8ClampedArray(4 * width * height), width, height };
}

/** Copies the rows that are about to be shown from where v86 computed them. */
function copyPixels(cpu: V86Cpu, { image_data, buffer_y, buffer_height }: V86Layer): void {
  const { data, width, height } = image_data;
  const { dest_buffet_offset: address, image_data: present } = cpu.devices.vga;
  if (image_data !== present) return;
  const from = 4 * width * Math.max(0, buffer_y);
  const end = 4 * width * Math.min(height, buffer_y + buffer_height);
  if (from < end) data.set(new Uint8Array(cpu.wasm_memory.buffer, address + from, end - from), from);
}

function isCompressed(state: ArrayBuffer): boolean {
  return state.byteLength >= 4 && new DataView(state).getUint32(0, true) === ZSTD_MAGIC;
}

/** A state as v86 saved it. Throws `argument-invalid` when it is none. */
function decompressState(cpu: V86Cpu, state: ArrayBuffer): ArrayBuffer {
  const source = new Uint8Array(state);
  const context = cpu.zstd_create_ctx(source.length);
  try {
    new Uint8Array(cpu.wasm_memory.buffer, cpu.zstd_get_src_ptr(context) >>> 0, source.length).set(source);
    const read = (lengthBytes: number): Uint8Array<ArrayBuffer> => {
      const at = cpu.zstd_read(context, lengthBytes) >>> 0;
      const bytes = new Uint8Array(cpu.wasm_memory.buffer, at, lengthBytes).slice();
      cpu.zstd_read_free(at, lengthBytes);
      return bytes;
    };
    const header = read(STATE_HEADER_BYTES);
    const totalBytes = new DataView(header.buffer).getUint32(8, true);
    if (totalBytes < STATE_HEADER_BYTES) throw new VitrineError('argument-invalid', { name: 'state' });
    const whole = new Uint8Array(totalBytes);
    whole.set(header);
    for (let at = STATE_HEADER_BYTES; at < totalBytes; at += CHUNK_BYTES) {
      whole.set(read(Math.min(CHUNK_BYTES, totalBytes - at)), at);
    }
    return whole.buffer;
  } finally {
    cpu.zstd_free_ctx(context);
  }
}
