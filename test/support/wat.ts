// Modules from WebAssembly text, by the assembler that AssemblyScript brings along.

import binaryen from 'binaryen';

/** The binary of a module in the text format. Throws when it is not valid. */
export function wat(text: string): Uint8Array<ArrayBuffer> {
  const module = binaryen.parseText(text);
  try {
    // Without garbage collection, whose types for null Node 20 does not read.
    module.setFeatures(binaryen.Features.All & ~binaryen.Features.GC);
    if (!module.validate()) throw new Error('the module is not valid');
    return Uint8Array.from(module.emitBinary());
  } finally {
    module.dispose();
  }
}
