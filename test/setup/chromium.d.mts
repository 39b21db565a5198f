// Types of chromium.mjs, which is plain JavaScript since it runs before anything is installed or built.

export function findChromium(): string | undefined;
