// What a build exports. Both builds have the same functions; each kernel asks ASC_FEATURE_SIMD which body it has,
// and the compiler drops the other one.

export { andNotBits } from './and-not-bits';
export { comparePages } from './compare-pages';
export { countBits } from './count-bits';
export { digestBytes } from './digest-bytes';
export { digestPages } from './digest-pages';
export { fillPages } from './fill-pages';
export { gatherPages } from './gather-pages';
export { listBits } from './list-bits';
export { orBits } from './or-bits';
export { packSparse } from './pack-sparse';
export { scatterPages } from './scatter-pages';
export { unpackSparse } from './unpack-sparse';
export { xorBytes } from './xor-bytes';
export { zeroPages } from './zero-pages';

/** 1 in the build with SIMD: the loader reads from the module itself which one it was given. */
export const simd: i32 = ASC_FEATURE_SIMD ? 1 : 0;
