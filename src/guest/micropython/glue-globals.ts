// MicroPython's loader keeps the JavaScript side of its objects in variables of the global object, one set for all
// instances: a second instance takes them from the first. Here each instance has a set of its own, which is in place
// only while that instance runs.
//
// Its finalizers free Python objects whenever the platform collects garbage, in whichever instance and in whichever
// state is there then. They never run here: a reference that JavaScript dropped stays with Python until the end.

/** The loader's variables, as of 1.27.0. */
const NAMES = [
  'Module',
  'proxy_js_ref',
  'proxy_js_ref_next',
  'proxy_js_ref_map',
  'proxy_js_map',
  'proxy_js_existing',
  'pyProxyFinalizationRegistry',
] as const;

/** Handles below it are the global object and undefined, in every instance. */
const STATIC_HANDLES = 2;

// The global object as the loader uses it: variables by name.
const globals = globalThis as unknown as Record<string, unknown>;

const INERT_REGISTRY = { register(): void {}, unregister(): void {} };

export class GlueGlobals {
  #own = new Map<string, unknown>();

  /** Runs `load`, which creates these variables, and takes them. Loads come one after another. */
  async load<T>(load: () => Promise<T>): Promise<T> {
    const before = swapIn(this.#own);
    Object.defineProperty(globals, 'pyProxyFinalizationRegistry', {
      get: () => INERT_REGISTRY,
      set: () => {},
      configurable: true,
    });
    try {
      return await load();
    } finally {
      Reflect.deleteProperty(globals, 'pyProxyFinalizationRegistry');
      this.#own = swapIn(before);
      this.#own.set('pyProxyFinalizationRegistry', INERT_REGISTRY);
    }
  }

  /** Runs `work` with this instance's variables in place. Nests. */
  run<T>(work: () => T): T {
    const before = swapIn(this.#own);
    try {
      return work();
    } finally {
      this.#own = swapIn(before);
    }
  }

  /** JavaScript objects that Python holds, by handle; undefined where a handle is free. */
  get handles(): readonly unknown[] {
    const held = this.#own.get('proxy_js_ref');
    return Array.isArray(held) ? held.slice(STATIC_HANDLES) : [];
  }

  /** Sets the table of JavaScript objects to these. */
  set handles(handles: readonly unknown[]) {
    const held = [globalThis, undefined, ...handles];
    const free = held.indexOf(undefined, STATIC_HANDLES);
    const map = new Map<unknown, number>();
    for (const [handle, value] of held.entries()) if (value !== undefined) map.set(value, handle);
    this.#own.set('proxy_js_ref', held);
    this.#own.set('proxy_js_ref_next', free < 0 ? held.length : free);
    this.#own.set('proxy_js_ref_map', map);
  }
}

/** Puts `values` in place of the loader's variables and returns what they were. */
function swapIn(values: ReadonlyMap<string, unknown>): Map<string, unknown> {
  const before = new Map<string, unknown>();
  for (const name of NAMES) {
    if (name in globals) before.set(name, globals[name]);
    if (values.has(name)) globals[name] = values.get(name);
    else Reflect.deleteProperty(globals, name);
  }
  return before;
}
