// Whether WebAssembly memory can be shared between workers here, asked before a program is compiled for it.
//
// Chromium 156 makes a shared memory on any page, but only an isolated one can send it to a worker; so isolation is
// asked for first. The size matters too: a shared memory sets address space for its maximum aside at once.

const WASM_PAGE_BYTES = 65_536;

/** A module with a shared memory and an atomic load in it: `i32.const 0`, `i32.atomic.load`, `drop`. */
const THREADS_PROBE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x05, 0x04, 0x01, 0x03, 0x01, 0x01],
  ...[0x0a, 0x0b, 0x01, 0x09, 0x00, 0x41, 0x00, 0xfe, 0x10, 0x02, 0x00, 0x1a, 0x0b],
);

/** Why a WebAssembly memory that grows to so many pages of 64 KiB cannot be shared here; undefined when it can. */
export function whyNotShared(maximumPages: number): string | undefined {
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
  if (crossOriginIsolated === false) return 'the page is not cross-origin isolated';
  if (typeof SharedArrayBuffer === 'undefined') return 'no SharedArrayBuffer';
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(THREADS_PROBE)) {
    return 'no WebAssembly threads';
  }
  try {
    new WebAssembly.Memory({ initial: 1, maximum: maximumPages, shared: true });
    return undefined;
  } catch {
    return `no address space of ${Math.ceil((maximumPages * WASM_PAGE_BYTES) / 2 ** 20)} MiB`;
  }
}
