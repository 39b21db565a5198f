// `vitrine/bundle`: a snapshot as one file, out of an engine or a bridge and into another.

export { type BundleFile, openBundleStore } from './bundle-store.ts';
export { bundleTarget, type WriteBytes } from './bundle-target.ts';
export { Bundle, openBundle, type ReadBytes } from './open-bundle.ts';
