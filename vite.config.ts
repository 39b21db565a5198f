// The page's build, its server (cross-origin isolated), and the test projects.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import type { Connect, Plugin, Rolldown } from 'vite';
import { defineConfig } from 'vitest/config';
import { collectLicenses } from './src/app/licenses.mjs';

/** What SharedArrayBuffer needs, and what keeps foreign pages out. */
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'X-Content-Type-Options': 'nosniff',
};

/** What the built page may do. PLATFORM.md of `src/app` says why each line is there. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** Tests that run whole emulators: seconds each, so that the quick check goes without them. */
const EMULATOR_TESTS = [
  'test/guest/{v86,pulse,micropython,rp2040,boytacean}/**/*.test.ts',
  'test/guest/wasm/{marks,live}.test.ts',
  'test/rpc/port-{v86,python}.test.ts',
  'test/engine/v86.test.ts',
  'test/bridge/pulse.test.ts',
  'test/tracking/checkpoint-guests.test.ts',
  'test/instrument/**/*.test.ts',
];

const licenses = collectLicenses();

export default defineConfig({
  base: './',
  publicDir: 'src/app/public',
  plugins: [serveGuestImages(), addContentSecurityPolicy(), compileAhead(), ...licenses.page],
  build: {
    outDir: 'dist/page',
    target: 'es2022',
    // The first with `light-dark()`: what stands in for it in older ones does not follow the meta element.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    emptyOutDir: true,
    rolldownOptions: { onLog: tellOfOurs },
  },
  worker: { format: 'es', plugins: () => licenses.worker, rolldownOptions: { onLog: tellOfOurs } },
  // Workers load a guest when it is opened; a dependency found only then would reload the page.
  optimizeDeps: { entries: ['index.html', 'workers/*.ts', 'src/app/guests/*.ts'] },
  server: { headers: HEADERS, port: 5173 },
  preview: { headers: { ...HEADERS, 'Content-Security-Policy': CONTENT_SECURITY_POLICY }, port: 4173 },
  test: {
    // Vitest leaves one core to others, which on two cores means one file at a time.
    maxWorkers: 2,
    // A second, as it is else, is too little when other work keeps both cores busy.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          environment: 'node',
          // Against hangs alone: the usual five seconds are too few when other work keeps both cores busy.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          include: ['test/**/*.test.ts'],
          exclude: ['test/{browser,linux,pack,qemu}/**', ...EMULATOR_TESTS, 'node_modules/**'],
        },
      },
      {
        extends: true,
        test: {
          name: 'emulators',
          environment: 'node',
          include: EMULATOR_TESTS,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'linux',
          environment: 'node',
          include: ['test/linux/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          // Needs QEMU: see test/setup/qemu.mjs.
          name: 'qemu',
          environment: 'node',
          include: ['test/qemu/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'pack',
          environment: 'node',
          include: ['test/pack/**/*.test.ts'],
          globalSetup: ['test/pack/pack-once.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'browser',
          environment: 'node',
          include: ['test/browser/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

type Tell = (level: Rolldown.LogLevel, log: Rolldown.RollupLog) => void;

/** What the build has to say of packages is for their authors: that emulators look for Node before they find a browser, say. */
function tellOfOurs(level: Rolldown.LogLevel, log: Rolldown.RollupLog, tell: Tell) {
  const isOfPackage = /node_modules/.test(`${log.id ?? ''} ${log.loc?.file ?? ''} ${log.message}`);
  if (level === 'warn' && isOfPackage) return;
  tell(level, log);
}

/**
 * Serves what `npm run guests` built at `/guests/`; what is not there is a 404 and never the page, and without a list of
 * them there are none.
 */
function serveGuestImages(): Plugin {
  const folder = resolve('.guests');
  const serve: Connect.NextHandleFunction = (request, response) => {
    const name = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/');
    const file = join(folder, name);
    if (!file.startsWith(folder + sep) || !existsSync(file) || !statSync(file).isFile()) {
      // That there are no images is an answer to who asks for their list.
      response.writeHead(name === '/manifest.json' ? 204 : 404).end();
      return;
    }
    const type = file.endsWith('.json') ? 'application/json' : 'application/octet-stream';
    response.writeHead(200, {
      ...HEADERS,
      'Content-Type': type,
      'Content-Length': statSync(file).size,
      'Cache-Control': 'no-cache',
    });
    createReadStream(file).pipe(response);
  };
  return {
    name: 'vitrine-guest-images',
    configureServer: (server) => void server.middlewares.use('/guests', serve),
    configurePreviewServer: (server) => void server.middlewares.use('/guests', serve),
  };
}

/** The built page alone: the development server needs inline scripts. */
function addContentSecurityPolicy(): Plugin {
  return {
    name: 'vitrine-content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: CONTENT_SECURITY_POLICY },
        injectTo: 'head-prepend',
      },
    ],
  };
}

/** Code of which nearly all runs at once is compiled while it is loaded, off the page's thread (Chromium 136, 2025). */
function compileAhead(): Plugin {
  return {
    name: 'vitrine-compile-ahead',
    apply: 'build',
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk' || !/^(index|xterm)$/.test(chunk.name)) continue;
        chunk.code = `//# allFunctionsCalledOnLoad\n${chunk.code}`;
      }
    },
  };
}
