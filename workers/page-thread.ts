// A thread of Node that works on pages: `src/host/pages`. `build.mjs` makes one text of it, since a thread reads neither
// TypeScript nor a bundler's imports.
import { servePages } from '../src/host/pages/page-thread.ts';

await servePages();
