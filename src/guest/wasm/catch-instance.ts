// Catches the instance that a loader makes, where the loader does not hand it out (Emscripten, wasm-bindgen and most
// others do not). While it loads, the functions of `WebAssembly` that compile and instantiate are ours: they rewrite
// the module (`export-internals.ts`), and give the loader an instance whose exports go through a gate.
//
// Others may load modules meanwhile (Node's `fetch` does): theirs run as ever, and `choose` tells them from ours.
//
// The platform's functions are put back when the load ends, however it ends. Loads wait for each other, since a call
// cannot tell which load it belongs to; a load that starts another one inside itself would wait for ever.

import { type OwnedBytes, ownBytes } from '../../base/bytes.ts';
import { VitrineError } from '../../base/error.ts';
import { CallGate } from './call-gate.ts';
import { type ExportInternalsOptions, exportInternals, type ModuleInternals } from './export-internals.ts';
import { type FreshTables, takeFreshTables } from './table-state.ts';

/** One instance, seen from both sides: what the platform made, and what the loader got. */
export interface CaughtInstance {
  /** The platform's instance, all its state exported. */
  readonly instance: WebAssembly.Instance;
  readonly internals: ModuleInternals;
  readonly imports: WebAssembly.Imports;
  /** The module as it was before it was rewritten: what names the program. */
  readonly moduleBytes: OwnedBytes;
  /** What its tables held before the loader saw it. */
  readonly freshTables: FreshTables;
  /** Every call of the loader into the program goes through it. */
  readonly gate: CallGate;
}

/** A module that was compiled here. */
interface KnownModule {
  readonly original: OwnedBytes;
  readonly internals: ModuleInternals;
}

const knownModules = new WeakMap<WebAssembly.Module, KnownModule>();
let lastLoad: Promise<unknown> = Promise.resolve();

/**
 * Runs `load` and catches the instance that it makes.
 *
 * When it makes several, `choose` says which; without it the only one with a memory. Throws `unsupported` when there is
 * no such instance, what `exportInternals` threw when there was none that it took, and what `load` throws.
 *
 * @example const { result, caught } = await catchInstance(() => createModule());
 */
export async function catchInstance<T>(
  load: () => Promise<T>,
  options: ExportInternalsOptions & { readonly choose?: (caught: CaughtInstance) => boolean } = {},
): Promise<{ readonly result: T; readonly caught: CaughtInstance }> {
  const before = lastLoad;
  const turn = before.then(() => loadWithHooks(load, options));
  lastLoad = turn.catch(() => {});
  const { result, all, refusals } = await turn;
  const choose = options.choose ?? ((one: CaughtInstance) => one.internals.memory !== undefined);
  const chosen = all.filter(choose);
  const [caught] = chosen;
  if (caught === undefined && refusals.length > 0) throw refusals[0];
  if (caught === undefined || chosen.length > 1) {
    throw new VitrineError('unsupported', {
      missing: 'exactly one instance with a memory',
      instances: all.length,
      chosen: chosen.length,
    });
  }
  return { result, caught };
}

/** Makes an instance for a guest without a loader. Throws as `exportInternals`, and what the platform throws. */
export async function instantiateCaught(
  module: Uint8Array,
  imports: WebAssembly.Imports = {},
  options: ExportInternalsOptions = {},
): Promise<{ readonly exports: WebAssembly.Exports; readonly caught: CaughtInstance }> {
  const original = ownBytes(module);
  const { bytes, internals } = exportInternals(original, options);
  const { instance } = await WebAssembly.instantiate(bytes, imports);
  const caught = caughtOf(instance, imports, { original, internals });
  return { exports: gatedInstance(caught).exports, caught };
}

async function loadWithHooks<T>(
  load: () => Promise<T>,
  options: ExportInternalsOptions,
): Promise<{
  readonly result: T;
  readonly all: readonly CaughtInstance[];
  readonly refusals: readonly unknown[];
}> {
  const all: CaughtInstance[] = [];
  const refusals: unknown[] = [];
  const unhook = hook(options, {
    caught: (caught) => all.push(caught),
    refused: (reason) => refusals.push(reason),
  });
  try {
    return { result: await load(), all, refusals };
  } finally {
    unhook();
  }
}

/** Replaces the platform's functions; the result puts them back. */
function hook(
  options: ExportInternalsOptions,
  on: { caught(caught: CaughtInstance): void; refused(reason: unknown): void },
): () => void {
  const { Module, Instance, compile, compileStreaming, instantiate, instantiateStreaming } = WebAssembly;

  /** Rewrites bytes for `use`; a module that cannot be frozen may be somebody else's, and goes through as it is. */
  const rewritten = <R>(
    source: BufferSource,
    use: (bytes: OwnedBytes, known: KnownModule | undefined) => R,
  ): R => {
    const original = bytesOf(source);
    let found: ReturnType<typeof exportInternals>;
    try {
      found = exportInternals(original, options);
    } catch (refusal) {
      on.refused(refusal);
      return use(original, undefined);
    }
    return use(found.bytes, { original, internals: found.internals });
  };
  const remember = (module: WebAssembly.Module, known: KnownModule | undefined): WebAssembly.Module => {
    if (known !== undefined) knownModules.set(module, known);
    return module;
  };
  const pass = (
    instance: WebAssembly.Instance,
    imports: WebAssembly.Imports | undefined,
    known: KnownModule | undefined,
  ): WebAssembly.Instance => {
    // A module from before the load shows what it exports and no more: it is passed on as it is.
    if (known === undefined) return instance;
    const caught = caughtOf(instance, imports, known);
    on.caught(caught);
    return gatedInstance(caught);
  };
  const compileBytes = (source: BufferSource): Promise<WebAssembly.Module> =>
    rewritten(source, async (bytes, known) => remember(await compile(bytes), known));
  const instantiateAny = async (
    source: BufferSource | WebAssembly.Module,
    imports?: WebAssembly.Imports,
  ): Promise<WebAssembly.Instance | WebAssembly.WebAssemblyInstantiatedSource> => {
    if (source instanceof Module) {
      return pass(await instantiate(source, imports), imports, knownModules.get(source));
    }
    return rewritten(source, async (bytes, known) => {
      const { module, instance } = await instantiate(bytes, imports);
      remember(module, known);
      return { module, instance: pass(instance, imports, known) };
    });
  };

  const hooks = {
    // `instanceof` goes on to work: a Proxy has the prototype of what it stands for.
    Module: new Proxy(Module, {
      construct: (target, [source]: [BufferSource]) =>
        rewritten(source, (bytes, known) => remember(new target(bytes), known)),
    }),
    Instance: new Proxy(Instance, {
      construct: (target, [module, imports]: [WebAssembly.Module, WebAssembly.Imports | undefined]) =>
        pass(new target(module, imports), imports, knownModules.get(module)),
    }),
    compile: async (source: BufferSource) => compileBytes(source),
    compileStreaming: async (source: Response | PromiseLike<Response>) =>
      compileBytes(await (await source).arrayBuffer()),
    instantiate: instantiateAny,
    instantiateStreaming: async (source: Response | PromiseLike<Response>, imports?: WebAssembly.Imports) =>
      instantiateAny(await (await source).arrayBuffer(), imports),
  };
  Object.assign(WebAssembly, hooks);
  return () => {
    Object.assign(WebAssembly, {
      Module,
      Instance,
      compile,
      compileStreaming,
      instantiate,
      instantiateStreaming,
    });
  };
}

function caughtOf(
  instance: WebAssembly.Instance,
  imports: WebAssembly.Imports | undefined,
  { original, internals }: KnownModule,
): CaughtInstance {
  const freshTables = takeFreshTables(instance.exports, internals.tables);
  const gate = new CallGate();
  return { instance, internals, imports: imports ?? {}, moduleBytes: original, freshTables, gate };
}

/** An instance as the loader gets it: of the right class, its functions behind the gate, without the added names. */
function gatedInstance({ instance, internals, gate }: CaughtInstance): WebAssembly.Instance {
  const exports: WebAssembly.Exports = Object.create(null);
  for (const [name, value] of Object.entries(instance.exports)) {
    if (internals.added.includes(name)) continue;
    // Safe: a function among the exports is callable with any arguments; WebAssembly converts them.
    exports[name] = typeof value === 'function' ? gate.wrap(value as (...args: unknown[]) => unknown) : value;
  }
  return Object.create(WebAssembly.Instance.prototype, {
    exports: { value: Object.freeze(exports), enumerable: true },
  });
}

function bytesOf(source: BufferSource): OwnedBytes {
  const bytes =
    source instanceof ArrayBuffer
      ? new Uint8Array(source)
      : new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  return ownBytes(bytes);
}
