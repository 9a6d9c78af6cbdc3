import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { LoopgateError } from '../../../src/core/errors.ts'
import { openDatabase } from '../../../src/storage/database.ts'
import { createStores } from '../../../src/storage/stores.ts'
import { guarded, isUnavailable } from '../../../src/storage/unavailable.ts'

const failure = (code: string, message = 'failed') => Object.assign(new Error(message), { code })

/** What passes, and so may be tried again. Codes of PostgreSQL's appendix A, and of Node. */
const PASSING: Record<string, string> = {
  '08000': 'connection exception',
  '08003': 'connection does not exist',
  '08006': 'connection failure',
  '40001': 'serialization failure',
  '40P01': 'deadlock detected',
  '53100': 'disk full',
  '53200': 'out of memory',
  '53300': 'too many connections',
  '55P03': 'lock not available',
  '57014': 'statement timeout',
  '57P01': 'terminated by an administrator',
  '57P02': 'crash shutdown',
  '57P03': 'cannot connect now',
  '25006': 'read-only after a failover',
  ECONNREFUSED: 'nobody listens',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke while writing',
  ETIMEDOUT: 'nobody answered',
  ENOTFOUND: 'the name is not known right now',
  EAI_AGAIN: 'the name server does not answer',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOSPC: 'no space left',
  EMFILE: 'too many open files',
}

/** What a later try does not mend: a bug, or data that is wrong. */
const LASTING: Record<string, string> = {
  '22P02': 'invalid text representation',
  '23502': 'not null violation',
  '23503': 'foreign key violation',
  '23505': 'unique violation',
  '42601': 'syntax error',
  '42P01': 'undefined table',
  '42703': 'undefined column',
  '22021': 'character not in repertoire',
  '28P01': 'invalid password',
  '3D000': 'no such database',
  XX000: 'internal error',
  ERR_INVALID_ARG_TYPE: 'a bug of ours',
}

describe('what passes', () => {
  test.each(Object.entries(PASSING))('%s: %s', (code) => {
    expect(isUnavailable(failure(code))).toBe(true)
  })

  test.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
    'Cannot use a pool after calling end on the pool',
  ])('for which pg has no code: %s', (message) => {
    expect(isUnavailable(new Error(message))).toBe(true)
  })
})

describe('what does not pass', () => {
  test.each(Object.entries(LASTING))('%s: %s', (code) => {
    expect(isUnavailable(failure(code))).toBe(false)
  })

  test.each([
    new Error('no'),
    'ECONNREFUSED',
    { code: 'ECONNREFUSED' },
    undefined,
    null,
    failure(''),
  ])('what says nothing of a database: %s', (thrown) => {
    expect(isUnavailable(thrown)).toBe(false)
  })

  test('a code that is a number', () => {
    expect(isUnavailable(Object.assign(new Error('x'), { code: 8 }))).toBe(false)
  })
})

describe('a guarded store', () => {
  class Store {
    readonly name = 'store'
    readonly #secret = 'kept'

    async read(a: number, b: number): Promise<string> {
      return `${this.#secret} ${a + b}`
    }

    async fail(error: unknown): Promise<never> {
      throw error
    }

    failAtOnce(error: unknown): Promise<never> {
      throw error
    }
  }

  const store = guarded(new Store())

  test('does what the store does', async () => {
    expect(await store.read(1, 2)).toBe('kept 3')
    expect(store.name).toBe('store')
  })

  test.each(['fail', 'failAtOnce'] as const)(
    'says UNAVAILABLE, with the cause, when it is away: %s',
    async (method) => {
      const cause = failure('57P01')
      const error: unknown = await store[method](cause).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(LoopgateError)
      expect(error).toMatchObject({
        code: 'UNAVAILABLE',
        cause,
        details: { retryAfterSeconds: expect.any(Number) },
      })
    },
  )

  test.each(['fail', 'failAtOnce'] as const)(
    'leaves every other error as it is: %s',
    async (method) => {
      const ours = new LoopgateError('SESSION_NOT_FOUND')
      for (const thrown of [ours, failure('23505'), 'nonsense']) {
        await expect(store[method](thrown)).rejects.toBe(thrown)
      }
    },
  )
})

describe('a database', () => {
  test('that nobody has started is UNAVAILABLE', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0
    await new Promise((resolve) => server.close(resolve))
    const url = `postgres://u:p@127.0.0.1:${port}/d`
    const database = await openDatabase({ type: 'postgres', url })
    const stores = createStores(database.db)
    await expect(stores.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(stores.sessions.find('t', 's')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await database.close()
    await expect(stores.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('is described without its credentials', async () => {
    const url = 'postgres://me:hunter2@db.example:5432/gate?password=hunter3'
    const database = await openDatabase({ type: 'postgres', url })
    expect(database.description).toBe('PostgreSQL db.example:5432/gate')
    await database.close()
  })
})
