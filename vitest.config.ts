import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** One project for each folder of tests. One that nobody has made yet is left out. */
const project = (name: string, options: { testTimeout?: number; isolate?: boolean } = {}) =>
  existsSync(join(import.meta.dirname, 'test', name))
    ? [{ test: { name, include: [`test/${name}/**/*.test.ts`], hookTimeout: 30_000, ...options } }]
    : []

export default defineConfig({
  test: {
    globalSetup: 'test/support/databases.ts',
    // Most tests wait for something most of the time: a core does not have to be left over.
    maxWorkers: '100%',
    projects: [
      // Files share a worker, and with it the embedded database that was opened once.
      ...project('unit', { isolate: false, testTimeout: 15_000 }),
      ...project('contract', { isolate: false, testTimeout: 15_000 }),
      ...project('integration', { testTimeout: 15_000 }),
      ...project('e2e', { testTimeout: 30_000 }),
      ...project('hardening', { testTimeout: 15_000 }),
      ...project('chaos', { testTimeout: 300_000 }),
    ],
  },
})
