// The loader of MicroPython's package, which comes without types.
declare module '@micropython/micropython-webassembly-pyscript/micropython.mjs' {
  export const loadMicroPython: import('../../guest/micropython/micropython.ts').LoadMicroPython;
}
