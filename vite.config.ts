// The page's build, its server (cross-origin isolated), and the test projects.
import { defineConfig } from 'vitest/config';

/** What SharedArrayBuffer needs, and what keeps foreign pages out. */
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'X-Content-Type-Options': 'nosniff',
};

export default defineConfig({
  build: { outDir: 'dist/page', target: 'es2022', emptyOutDir: true },
  worker: { format: 'es' },
  server: { headers: HEADERS, port: 5173 },
  preview: { headers: HEADERS, port: 4173 },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          environment: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/browser/**', 'test/linux/**', 'test/pack/**', 'node_modules/**'],
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
          name: 'pack',
          environment: 'node',
          include: ['test/pack/**/*.test.ts'],
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
