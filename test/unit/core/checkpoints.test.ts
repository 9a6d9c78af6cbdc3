import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CheckpointStore, Checkpoints } from '../../../src/core/checkpoints.ts'
import { type Core, eventually, startCore } from '../../support/builders-core.ts'

let core: Core
let written: string[]
let behind: string[]
let failure: Error | undefined
let checkpoints: Checkpoints

beforeEach(async () => {
  core = await startCore()
  await core.session()
  written = []
  behind = []
  failure = undefined
  const store: CheckpointStore = {
    behind: async () => behind,
    write: async (tenant) => {
      if (failure) throw failure
      written.push(tenant)
      const number = written.length
      return { number, jws: 'x', isComplete: number !== 2 }
    },
  }
  const { hub, clock, metrics } = core
  const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 }
  checkpoints = new Checkpoints({ hub, clock, metrics, logger, store, sign: async () => 'x' })
})
afterEach(async () => {
  await checkpoints.stop()
  await core[Symbol.asyncDispose]()
})

/** Until the next time that it wakes by itself. */
const pass = async () => {
  await eventually(() => expect(core.clock.next).toBeDefined())
  core.clock.advance(core.clock.next ?? 0)
  await eventually(() => expect(core.clock.next).toBeDefined())
}

test('T5: what the process before has left gets its checkpoint after the start', async () => {
  behind = ['tenant-1', 'tenant-2']
  checkpoints.start()
  await pass()
  // The second is not complete, and is gone on with.
  expect(written).toEqual(['tenant-1', 'tenant-2', 'tenant-2'])
})

test('T5: a checkpoint is made when something has happened, and only then', async () => {
  checkpoints.start()
  await pass()
  await pass()
  expect(written).toEqual([])
  await core.ask()
  await pass()
  await pass()
  expect(written).toEqual(['tenant-1'])
})

test('T5: what failed is made the next time', async () => {
  checkpoints.start()
  await pass()
  await core.ask()
  failure = new Error('the database is away')
  await pass()
  failure = undefined
  expect([written, core.metrics.calls]).toEqual([[], expect.arrayContaining(['failed checkpoint'])])
  await pass()
  expect(written).toEqual(['tenant-1'])
})
