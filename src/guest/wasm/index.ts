// `vitrine/guest/wasm`: any WebAssembly program as a guest.

export { type CaughtInstance, catchInstance, instantiateCaught } from './catch-instance.ts';
export { type WasmDoorbell, type WasmDoorbellImports, wasmDoorbell } from './doorbell.ts';
export { acceptSharedViews } from './shared-views.ts';
export { type HostState, WasmInstanceGuest, type WasmInstanceOptions } from './wasm-instance.ts';
