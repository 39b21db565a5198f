// A small WebAssembly program that keeps state wherever a program can: memory that grows, hidden mutable globals of
// each type, a hidden table whose functions it exchanges, an exported table that grows. Each `run` uses and
// changes all of it; `grow` makes memory and table larger. As `sbrk` does, it knows by itself how much memory it uses, and grows only when there is less.

import { wat } from '../../support/wat.ts';

/** `run` answers with a checksum; `sizes` with 1,000 a memory page and 1 a table slot. */
export interface ChurnExports {
  run(steps: number): number;
  grow(): void;
  sizes(): number;
}

export function churnModule(): Uint8Array<ArrayBuffer> {
  return wat(`(module
    (type $mix (func (param i32 i32) (result i32)))
    (import "env" "host" (func $host (param i32)))
    (memory $memory 1 6)
    (data (i32.const 64) "churn")
    (global $random (mut i32) (i32.const 12345))
    (global $total (mut i64) (i64.const -7))
    (global $ratio (mut f64) (f64.const 0.1))
    (global $small (mut f32) (f32.const 0.5))
    (global $pages (mut i32) (i32.const 1))
    (global $slots (mut i32) (i32.const 1))
    (global $constant i32 (i32.const 3))
    (table $hidden 4 funcref)
    (table $grown 1 12 funcref)
    (elem (table $hidden) (i32.const 0) func $add $multiply $exclusive)
    (elem declare func $late)
    (export "grown" (table $grown))
    (export "run" (func $run))
    (export "grow" (func $grow))
    (export "sizes" (func $sizes))
    (export "late" (func $late))
    (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func $multiply (param i32 i32) (result i32) (i32.mul (i32.or (local.get 0) (i32.const 1)) (local.get 1)))
    (func $exclusive (param i32 i32) (result i32) (i32.xor (local.get 0) (i32.rotl (local.get 1) (i32.const 7))))
    (func $late (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
    (func $draw (result i32)
      (global.set $random (i32.xor (global.get $random) (i32.shl (global.get $random) (i32.const 13))))
      (global.set $random (i32.xor (global.get $random) (i32.shr_u (global.get $random) (i32.const 17))))
      (global.set $random (i32.xor (global.get $random) (i32.shl (global.get $random) (i32.const 5))))
      (global.get $random))
    (func $sizes (result i32)
      (i32.add (i32.mul (memory.size) (i32.const 1000)) (table.size $grown)))
    (func $grow (local $none funcref)
      (if (i32.lt_u (global.get $slots) (i32.const 12))
        (then
          (if (i32.eq (table.size $grown) (global.get $slots))
            (then (drop (table.grow $grown (local.get $none) (i32.const 1)))))
          (table.set $grown (global.get $slots) (ref.func $late))
          (global.set $slots (i32.add (global.get $slots) (i32.const 1)))))
      ;; One page more while the memory may grow, and something in the last byte that it counts as its own.
      (if (i32.lt_u (global.get $pages) (i32.const 6))
        (then
          (if (i32.eq (memory.size) (global.get $pages)) (then (drop (memory.grow (i32.const 1)))))
          (global.set $pages (i32.add (global.get $pages) (i32.const 1)))))
      (i32.store8 (i32.sub (i32.mul (global.get $pages) (i32.const 65536)) (i32.const 1)) (i32.const 0x5a)))
    (func $run (param $steps i32) (result i32)
      (local $sum i32) (local $at i32) (local $kept funcref)
      (loop $next
        (local.set $at (i32.rem_u (call $draw) (i32.const 65000)))
        (local.set $sum (call_indirect $hidden (type $mix)
          (local.get $sum)
          (i32.add (i32.load (local.get $at)) (call $draw))
          (i32.rem_u (call $draw) (global.get $constant))))
        (i32.store (local.get $at) (local.get $sum))
        (global.set $total (i64.add (i64.mul (global.get $total) (i64.const 31)) (i64.extend_i32_s (local.get $sum))))
        (global.set $ratio (f64.div (f64.add (global.get $ratio) (f64.const 1)) (f64.const 3)))
        (global.set $small (f32.div (f32.add (global.get $small) (f32.const 1)) (f32.const 3)))
        (local.set $steps (i32.sub (local.get $steps) (i32.const 1)))
        (br_if $next (local.get $steps)))
      ;; Exchange functions, put another one into the free slot.
      (local.set $kept (table.get $hidden (i32.const 0)))
      (table.set $hidden (i32.const 0) (table.get $hidden (i32.const 1)))
      (table.set $hidden (i32.const 1) (table.get $hidden (i32.const 2)))
      (table.set $hidden (i32.const 2) (local.get $kept))
      (table.set $hidden (i32.const 3) (ref.func $late))
      (call $host (local.get $sum))
      (i32.xor (local.get $sum)
        (i32.add (i32.wrap_i64 (global.get $total))
          (i32.add (i32.trunc_sat_f64_s (f64.mul (global.get $ratio) (f64.const 1e9)))
                   (i32.trunc_sat_f32_s (f32.mul (global.get $small) (f32.const 1e6))))))))`);
}
