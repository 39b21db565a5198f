// What the fuzzing example is let loose on: a parser of 359 bytes of WebAssembly, with a bug that was planted; and the same
// parser in a program that asks by itself to be saved and put back. Both their sources and what they assemble to are here, so
// that the example needs no assembler; a test holds them together.
//
// A document lies at 0x1000: `VTR`, then records of a type, a size and as many bytes. It keeps state as programs do:
// a heap that only grows, and a number of open documents that it does not pass, so a fuzzer has to put it back.
//
//   | Address | What                                                     |
//   |---------|----------------------------------------------------------|
//   | 0x1000  | the document                                             |
//   | 0x2000  | one byte a branch: how often it was taken                |
//   | 0x3000  | sixteen bytes for a name, and a canary behind them       |
//   | 0x8000  | the heap                                                 |

/** Where the document is put, and the most it may come to. */
export const FUZZ_INPUT = { offsetBytes: 0x1000, maxBytes: 256 } as const;

/** Where it counts the branches that it takes. */
export const FUZZ_COVERAGE = { offsetBytes: 0x2000, lengthBytes: 8 } as const;

/** What the module exports. */
export interface FuzzTargetExports {
  readonly memory: WebAssembly.Memory;
  /** Returns how many records there were, or less than zero; traps at the planted bug. */
  parse(lengthBytes: number): number;
}

/** What the asking program exports. */
export interface FuzzAskingExports {
  readonly memory: WebAssembly.Memory;
  /**
   * Starts up, a piece at each call, and then rings to be saved; from there on it parses, and rings to be put back. Returns
   * the branches that the document took, a bit each: when the call has returned, memory is that of the point again.
   */
  step(lengthBytes: number): number;
}

const PARSER = `  (global $heap (mut i32) (i32.const 0x8000))
  (global $documents (mut i32) (i32.const 0))
  ;; Branch $id was taken: one byte a branch, counted.
  (func $cover (param $id i32)
    (i32.store8 (i32.add (i32.const 0x2000) (local.get $id))
      (i32.add (i32.load8_u (i32.add (i32.const 0x2000) (local.get $id))) (i32.const 1))))
  (func $parse (export "parse") (param $length i32) (result i32)
    (local $at i32) (local $end i32) (local $type i32) (local $size i32) (local $records i32)
    ;; Sixteen documents may be open, and nobody closes them: without a reset it is soon of no use.
    (if (i32.ge_u (global.get $documents) (i32.const 16)) (then (return (i32.const -1))))
    (global.set $documents (i32.add (global.get $documents) (i32.const 1)))
    (i32.store (i32.const 0x3010) (i32.const 0x600df00d))
    (local.set $end (i32.add (i32.const 0x1000) (local.get $length)))
    (if (i32.lt_u (local.get $length) (i32.const 4)) (then (return (i32.const -2))))
    (if (i32.ne (i32.load8_u (i32.const 0x1000)) (i32.const 0x56)) (then (return (i32.const -3))))
    (call $cover (i32.const 1))
    (if (i32.ne (i32.load8_u (i32.const 0x1001)) (i32.const 0x54)) (then (return (i32.const -3))))
    (call $cover (i32.const 2))
    (if (i32.ne (i32.load8_u (i32.const 0x1002)) (i32.const 0x52)) (then (return (i32.const -3))))
    (call $cover (i32.const 3))
    (local.set $at (i32.const 0x1003))
    (block $done (loop $next
      (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 2)) (local.get $end)))
      (local.set $type (i32.load8_u (local.get $at)))
      (local.set $size (i32.load8_u (i32.add (local.get $at) (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $records (i32.add (local.get $records) (i32.const 1)))
      ;; Blob: a copy on the heap.
      (if (i32.eq (local.get $type) (i32.const 1)) (then
        (call $cover (i32.const 4))
        (memory.copy (global.get $heap) (local.get $at) (local.get $size))
        (global.set $heap (i32.add (global.get $heap) (local.get $size)))))
      ;; Name: a copy in sixteen bytes, behind which a canary lies.
      (if (i32.eq (local.get $type) (i32.const 2)) (then
        (call $cover (i32.const 5))
        ;; The planted bug: the size is compared as a signed byte, so that 0x80 and more pass.
        (if (i32.le_s (i32.extend8_s (local.get $size)) (i32.const 16)) (then
          (call $cover (i32.const 6))
          (memory.copy (i32.const 0x3000) (local.get $at) (local.get $size))
          (if (i32.ne (i32.load (i32.const 0x3010)) (i32.const 0x600df00d)) (then (unreachable)))))))
      (local.set $at (i32.add (local.get $at) (local.get $size)))
      (br $next)))
    (local.get $records))`;

/** Its source, in the text format. */
export const FUZZ_TARGET_SOURCE = `(module
  (memory (export "memory") 2)
${PARSER})`;

/** Source of the program that asks: it alone knows when it has started up. */
export const FUZZ_ASKING_SOURCE = `(module
  (import "vitrine" "ring" (func $ring (param i32) (result i32)))
  (memory (export "memory") 2)
  (global $started (mut i32) (i32.const 0))
${PARSER}
  ;; One piece of starting up, of 32: a byte of a table, where a real program would read its files.
  (func $startUp
    (i32.store8 (i32.add (i32.const 0x4000) (global.get $started)) (i32.const 1))
    (global.set $started (i32.add (global.get $started) (i32.const 1)))
    (if (i32.eq (global.get $started) (i32.const 32)) (then (drop (call $ring (i32.const 0x73))))))
  (func (export "step") (param $length i32) (result i32) (local $branch i32) (local $taken i32)
    (if (i32.lt_u (global.get $started) (i32.const 32)) (then (call $startUp) (return (i32.const 0))))
    (drop (call $parse (local.get $length)))
    (loop $next
      (if (i32.load8_u (i32.add (i32.const 0x2000) (local.get $branch))) (then
        (local.set $taken (i32.or (local.get $taken) (i32.shl (i32.const 1) (local.get $branch))))))
      (local.set $branch (i32.add (local.get $branch) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $branch) (i32.const 8))))
    (drop (call $ring (i32.const 0x72)))
    (local.get $taken)))`;

/** What the source assembles to. */
export function fuzzTargetModule(): Uint8Array<ArrayBuffer> {
  return fromBase64(FUZZ_TARGET_BASE64);
}

/** What the source of the program that asks assembles to. */
export function fuzzAskingModule(): Uint8Array<ArrayBuffer> {
  return fromBase64(FUZZ_ASKING_BASE64);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));
}

const FUZZ_TARGET_BASE64 =
  'AGFzbQEAAAABCgJgAX8AYAF/AX8DAwIAAQUDAQACBg0CfwFBgIACC38BQQALBxICBm1lbW9yeQIABXBhcnNlAAEKowICGQBBgMAA' +
  'IABqQYDAACAAai0AAEEBajoAAAuGAgEFfyMBQRBPBEBBfw8LIwFBAWokAUGQ4ABBjeC3gAY2AgBBgCAgAGohAiAAQQRJBEBBfg8L' +
  'QYAgLQAAQdYARwRAQX0PC0EBEABBgSAtAABB1ABHBEBBfQ8LQQIQAEGCIC0AAEHSAEcEQEF9DwtBAxAAQYMgIQECQANAIAFBAmog' +
  'AksNASABLQAAIQMgAUEBai0AACEEIAFBAmohASAFQQFqIQUgA0EBRgRAQQQQACMAIAEgBPwKAAAjACAEaiQACyADQQJGBEBBBRAA' +
  'IATAQRBMBEBBBhAAQYDgACABIAT8CgAAQZDgACgCAEGN4LeABkcEQAALCwsgASAEaiEBDAALAAsgBQs=';

const FUZZ_ASKING_BASE64 =
  'AGFzbQEAAAABDQNgAX8Bf2ABfwBgAAACEAEHdml0cmluZQRyaW5nAAADBQQBAAIABQMBAAIGEgN/AUEAC38BQYCAAgt/AUEACwcZAwZtZW1vcn' +
  'kCAAVwYXJzZQACBHN0ZXAABAqOAwQZAEGAwAAgAGpBgMAAIABqLQAAQQFqOgAAC4YCAQV/IwJBEE8EQEF/DwsjAkEBaiQCQZDgAEGN4LeABjYC' +
  'AEGAICAAaiECIABBBEkEQEF+DwtBgCAtAABB1gBHBEBBfQ8LQQEQAUGBIC0AAEHUAEcEQEF9DwtBAhABQYIgLQAAQdIARwRAQX0PC0EDEAFBgy' +
  'AhAQJAA0AgAUECaiACSw0BIAEtAAAhAyABQQFqLQAAIQQgAUECaiEBIAVBAWohBSADQQFGBEBBBBABIwEgASAE/AoAACMBIARqJAELIANBAkYE' +
  'QEEFEAEgBMBBEEwEQEEGEAFBgOAAIAEgBPwKAABBkOAAKAIAQY3gt4AGRwRAAAsLCyABIARqIQEMAAsACyAFCyMAQYCAASMAakEBOgAAIwBBAW' +
  'okACMAQSBGBEBB8wAQABoLC0YBAn8jAEEgSQRAEANBAA8LIAAQAhoDQEGAwAAgAWotAAAEQCACQQEgAXRyIQILIAFBAWohASABQQhJDQALQfIA' +
  'EAAaIAIL';
