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
import { INSTRUMENT_EXPORTS, instrument, type MapLayout, mapOf } from '../../instrument/index.ts';
import { importAritiesOf } from '../../instrument/module-functions.ts';
import { readSections } from '../../instrument/module-sections.ts';
import { CallGate } from './call-gate.ts';
import { type ExportInternalsOptions, exportInternals, type ModuleInternals } from './export-internals.ts';
import { GlueWatch } from './glue-writes.ts';
import { HeapResize } from './heap-resize.ts';
import { MarkedMemory } from './marked-memory.ts';
import { withCopyingDecoder } from './shared-views.ts';
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
  /** Where the program marks what it writes, if that was asked for. */
  readonly marked?: MarkedMemory;
  /** What the loader may write by itself, watched; of a program that marks. */
  readonly glue?: GlueWatch;
}

export interface CatchOptions extends ExportInternalsOptions {
  /**
   * `marks`: the program is instrumented (`vitrine/instrument`) and marks the pages that it writes. `barrier`: it also says
   * so before it writes, for captures that do not stop it. The host then has to say what it writes itself
   * (`markWritten`). `none`, when left out: all pages are compared. A program that a build has instrumented has what it was
   * given then.
   */
  readonly tracking?: 'none' | 'marks' | 'barrier';
  /**
   * `shared` puts the program's memory where other workers can read it while it runs: see the guest's `shared`. With marks
   * or a barrier it has its full size from the start. Not for a memory that its loader makes and the program imports:
   * that throws `unsupported`. `private` when left out; a program that a build has instrumented has what it was given then.
   */
  readonly memory?: 'shared' | 'private';
  /** Bytes a mark stands for; must be the guest's page size. 4,096 when left out. */
  readonly pageBytes?: number;
}

/** A module that was compiled here. */
interface KnownModule {
  readonly original: OwnedBytes;
  readonly internals: ModuleInternals;
  readonly map: MapLayout | undefined;
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
  options: CatchOptions & { readonly choose?: (caught: CaughtInstance) => boolean } = {},
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
  options: CatchOptions = {},
): Promise<{ readonly exports: WebAssembly.Exports; readonly caught: CaughtInstance }> {
  const original = ownBytes(module);
  const { bytes, ...known } = rewrite(original, options);
  const given = giveImports(imports, { original, ...known });
  const { instance } = await WebAssembly.instantiate(bytes, given.watched);
  const caught = caughtOf(instance, given, { original, ...known });
  return { exports: gatedInstance(caught).exports, caught };
}

/** The module with its state in reach and, if asked, with marks. */
function rewrite(
  original: OwnedBytes,
  options: CatchOptions,
): { readonly bytes: OwnedBytes; readonly internals: ModuleInternals; readonly map: MapLayout | undefined } {
  const { tracking = 'none' } = options;
  const present = mapOf(original);
  if (present !== undefined) return rewriteInstrumented(original, present, options);
  const { bytes, internals } = exportInternals(original, options);
  const shared = sharingOf(internals, options);
  if (tracking === 'none') {
    const ready = shared === undefined ? bytes : instrument(bytes, { shared }).bytes;
    return { bytes: ready, internals, map: undefined };
  }
  if (internals.memory?.isImported === true) {
    // Its maker would have to leave room for the map.
    throw new VitrineError('unsupported', { missing: 'marks in an imported memory' });
  }
  const { pageBytes } = options;
  const instrumented = instrument(bytes, {
    ...(tracking === 'barrier' ? { barriers: true } : { marks: true }),
    ...(pageBytes === undefined ? {} : { pageBytes }),
    ...(shared === undefined ? {} : { shared }),
  });
  const added = [...internals.added, ...Object.values(INSTRUMENT_EXPORTS)];
  const { map } = instrumented;
  const memory = internals.memory && { ...internals.memory, maxPages: map.maxPages };
  return { bytes: instrumented.bytes, internals: { ...internals, memory, added }, map };
}

/** What makes the program's own memory a shared one; undefined where that is not wanted. */
function sharingOf(
  { memory }: ModuleInternals,
  options: CatchOptions,
): { readonly maximumPages: number } | undefined {
  if (options.memory !== 'shared' || memory === undefined) return undefined;
  if (memory.isImported) throw new VitrineError('unsupported', { missing: 'sharing an imported memory' });
  return { maximumPages: memory.maxPages };
}

/** A module that a build has instrumented: it has its map already, of the kind that was wanted then. */
function rewriteInstrumented(
  original: OwnedBytes,
  map: MapLayout,
  options: CatchOptions,
): ReturnType<typeof rewrite> {
  const has = map.kind === 'barriers' ? 'barrier' : 'marks';
  const { tracking = has } = options;
  if (tracking !== has && tracking !== 'none') {
    throw new VitrineError('argument-invalid', { name: 'tracking', value: tracking, required: has });
  }
  if (options.memory === 'shared' && map.fixed === undefined) {
    throw new VitrineError('argument-invalid', { name: 'memory', value: 'shared', required: 'private' });
  }
  const { bytes, internals } = exportInternals(original, { ...options, map });
  if (internals.memory?.isImported === true) {
    throw new VitrineError('unsupported', { missing: 'marks in an imported memory' });
  }
  const added = [...internals.added, ...Object.values(INSTRUMENT_EXPORTS)];
  return { bytes, internals: { ...internals, added }, map };
}

async function loadWithHooks<T>(
  load: () => Promise<T>,
  options: CatchOptions,
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
    const result = await (options.memory === 'shared' ? withCopyingDecoder(load) : load());
    return { result, all, refusals };
  } finally {
    unhook();
  }
}

/** Replaces the platform's functions; the result puts them back. */
function hook(
  options: CatchOptions,
  on: { caught(caught: CaughtInstance): void; refused(reason: unknown): void },
): () => void {
  const { Module, Instance, compile, compileStreaming, instantiate, instantiateStreaming } = WebAssembly;

  /** Rewrites bytes for `use`; a module that cannot be frozen may be somebody else's, and goes through as it is. */
  const rewritten = <R>(
    source: BufferSource,
    use: (bytes: OwnedBytes, known: KnownModule | undefined) => R,
  ): R => {
    const original = bytesOf(source);
    let found: ReturnType<typeof rewrite>;
    try {
      found = rewrite(original, options);
    } catch (refusal) {
      on.refused(refusal);
      return use(original, undefined);
    }
    return use(found.bytes, { original, internals: found.internals, map: found.map });
  };
  const remember = (module: WebAssembly.Module, known: KnownModule | undefined): WebAssembly.Module => {
    if (known !== undefined) knownModules.set(module, known);
    return module;
  };
  const pass = (
    instance: WebAssembly.Instance,
    given: GivenImports,
    known: KnownModule | undefined,
  ): WebAssembly.Instance => {
    // A module from before the load shows what it exports and no more: it is passed on as it is.
    if (known === undefined) return instance;
    const caught = caughtOf(instance, given, known);
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
      const known = knownModules.get(source);
      const given = giveImports(imports, known);
      return pass(await instantiate(source, given.watched), given, known);
    }
    return rewritten(source, async (bytes, known) => {
      const given = giveImports(imports, known);
      const { module, instance } = await instantiate(bytes, given.watched);
      remember(module, known);
      return { module, instance: pass(instance, given, known) };
    });
  };

  const hooks = {
    // `instanceof` goes on to work: a Proxy has the prototype of what it stands for.
    Module: new Proxy(Module, {
      construct: (target, [source]: [BufferSource]) =>
        rewritten(source, (bytes, known) => remember(new target(bytes), known)),
    }),
    Instance: new Proxy(Instance, {
      construct: (target, [module, imports]: [WebAssembly.Module, WebAssembly.Imports | undefined]) => {
        const known = knownModules.get(module);
        const given = giveImports(imports, known);
        return pass(new target(module, given.watched), given, known);
      },
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

/** What a loader handed in, and as the instance gets it. */
interface GivenImports {
  readonly imports: WebAssembly.Imports | undefined;
  readonly watched: WebAssembly.Imports | undefined;
  readonly glue: GlueWatch;
  readonly resize: HeapResize;
}

/** Only barriers need the imports watched, and only a memory of full size has growth of its own. */
function giveImports(imports: WebAssembly.Imports | undefined, known: KnownModule | undefined): GivenImports {
  const [glue, resize] = [new GlueWatch(), new HeapResize()];
  const given = { imports, glue, resize };
  const map = known?.map;
  if (imports === undefined || map === undefined) return { ...given, watched: imports };
  const resized = map.fixed === undefined ? imports : resize.imports(imports);
  if (known === undefined || map.kind !== 'barriers') return { ...given, watched: resized };
  const arities = importAritiesOf(readSections(known.original));
  const watched = glue.imports(resized, (module, name) => arities.get(`${module}\n${name}`));
  return { ...given, watched };
}

function caughtOf(
  instance: WebAssembly.Instance,
  { imports, glue, resize }: GivenImports,
  { original, internals, map }: KnownModule,
): CaughtInstance {
  const freshTables = takeFreshTables(instance.exports, internals.tables);
  const gate = new CallGate();
  const parts = { instance, internals, imports: imports ?? {}, moduleBytes: original, freshTables, gate };
  if (map === undefined || internals.memory === undefined) return parts;
  // Safe: the name is that of the module's own memory.
  const memory = instance.exports[internals.memory.exportName] as WebAssembly.Memory;
  const marked = new MarkedMemory(memory, instance.exports, map, glue);
  resize.memory = marked;
  return { ...parts, marked, glue };
}

/** An instance as the loader gets it: of the right class, its functions behind the gate, without the added names. */
function gatedInstance({ instance, internals, gate, glue, marked }: CaughtInstance): WebAssembly.Instance {
  const isWatched = glue !== undefined && marked?.layout.kind === 'barriers';
  const exports: WebAssembly.Exports = Object.create(null);
  for (const [name, value] of Object.entries(instance.exports)) {
    if (internals.added.includes(name)) continue;
    if (typeof value !== 'function' || internals.globalReaders.has(name)) {
      exports[name] = value;
      continue;
    }
    // Safe: a function among the exports is callable with any arguments; WebAssembly converts them.
    const call = value as (...args: unknown[]) => unknown;
    exports[name] = gate.wrap(isWatched ? glue.export(call) : call);
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
