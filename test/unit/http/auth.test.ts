import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoopgateError } from '../../../src/core/errors.ts'
import type { Knock } from '../../../src/core/ports.ts'
import type { Person } from '../../../src/core/principal.ts'
import { type AuthOptions, HttpAuthenticator, isFromThisMachine } from '../../../src/http/auth.ts'
import { clientAddress } from '../../../src/http/client-address.ts'
import { Limits } from '../../../src/http/limits.ts'
import { PersonTokens } from '../../../src/http/tokens.ts'
import { createStores, type Stores } from '../../../src/storage/stores.ts'
import { aPerson } from '../../support/builders.ts'
import { openTestDatabase, type TestDatabase } from '../../support/database.ts'

const tokens = new PersonTokens('a secret of at least 32 characters')

let database: TestDatabase
let stores: Stores
/** A person who is a user of the database. */
let ann: Person

beforeAll(async () => {
  database = await openTestDatabase('pglite')
  stores = createStores(database.database.db)
  const user = { username: 'Ann', usernameKey: 'ann', passwordHash: '$' }
  const { id } = await stores.users.create(user, false)
  ann = aPerson({ tenant: id, id })
}, 60_000)
afterAll(() => database[Symbol.asyncDispose]())

const door = (over: Partial<AuthOptions> = {}) =>
  new HttpAuthenticator({
    mode: 'local',
    host: '127.0.0.1',
    publicUrl: undefined,
    allowedOrigins: [],
    tokens,
    ...stores,
    usage: { note: () => undefined },
    limits: new Limits(),
    addressOf: clientAddress(false),
    ...over,
  })

const knock = (
  headers: Knock['headers'] = {},
  remoteAddress: string | undefined = '127.0.0.1',
): Knock => ({
  headers: { host: 'localhost:8080', ...headers },
  remoteAddress,
})

const REQUIRED = { mode: 'required', publicUrl: new URL('https://gate.example.com') } as const

function isAdmitted(authenticator: HttpAuthenticator, at: Knock): boolean {
  try {
    authenticator.admit(at)
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(LoopgateError)
    expect(error).toMatchObject({ code: 'FORBIDDEN' })
    return false
  }
}

const identify = (authenticator: HttpAuthenticator, at: Knock) =>
  authenticator.identify(at).then(
    ({ type }) => type,
    (error: LoopgateError) => error.code,
  )

describe('in local mode the Host is one of ours', () => {
  test.each(['localhost', 'localhost:8080', '127.0.0.1:1', '[::1]:8080', 'LOCALHOST'])(
    '%s is',
    (host) => {
      expect(isAdmitted(door(), knock({ host }))).toBe(true)
    },
  )

  test.each([
    ...[
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'localhost@evil.example',
    ],
    ...['', '::1', 'evil.example:8080', 'localhost:8080, evil.example', undefined],
  ])('%j is not', (host) => {
    expect(isAdmitted(door(), knock({ host }))).toBe(false)
  })

  test('also by the name of PUBLIC_URL', () => {
    const authenticator = door({ publicUrl: new URL('http://loop.localhost:8080') })
    expect(isAdmitted(authenticator, knock({ host: 'loop.localhost:8080' }))).toBe(true)
  })

  test('elsewhere it is whatever the proxy says', () => {
    expect(isAdmitted(door(REQUIRED), knock({ host: 'anything.example' }))).toBe(true)
  })
})

describe('the Origin of a page', () => {
  test.each([undefined, 'http://localhost:8080', 'https://localhost:8080'])(
    'may be our own: %s',
    (origin) => {
      expect(isAdmitted(door(), knock({ origin }))).toBe(true)
    },
  )

  test.each([
    ...['https://evil.example', 'null', '', 'http://localhost', 'http://localhost:9090', 'file://'],
    ...[
      'http://localhost:8080.evil.example',
      'http://localhost:8080/',
      'http://localhost:8080, null',
    ],
  ])('may not be another: %j', (origin) => {
    expect(isAdmitted(door(), knock({ origin }))).toBe(false)
    expect(isAdmitted(door(REQUIRED), knock({ origin }))).toBe(false)
  })

  test('may be one that is allowed, or that of PUBLIC_URL', () => {
    const authenticator = door({ ...REQUIRED, allowedOrigins: ['https://app.example.com'] })
    for (const origin of ['https://app.example.com', 'https://gate.example.com']) {
      expect(isAdmitted(authenticator, knock({ origin, host: 'inner:8080' }))).toBe(true)
    }
  })
})

describe('who is on this machine', () => {
  test.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])('%s', (remoteAddress) => {
    expect(isFromThisMachine(knock({}, remoteAddress))).toBe(true)
  })

  test.each([
    '10.0.0.1',
    '::ffff:10.0.0.1',
    '1270.0.0.1',
    'fe80::1',
    '::',
    '',
    '2001:db8::127.0.0.1',
  ])('not %j', (remoteAddress) => {
    expect(isFromThisMachine(knock({}, remoteAddress))).toBe(false)
  })

  test('nobody whose address is not known', () => {
    expect(isFromThisMachine({ headers: {}, remoteAddress: undefined })).toBe(false)
  })

  test.each([
    'forwarded',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-forwarded-x',
  ])('nobody who came through a proxy, whatever it says: %s', (header) => {
    expect(isFromThisMachine(knock({ [header]: '127.0.0.1' }))).toBe(false)
    expect(isFromThisMachine(knock({ [header]: '' }))).toBe(false)
  })
})

describe('who is calling', () => {
  test('is `local` without a credential, on this machine and in local mode alone', async () => {
    expect(await identify(door(), knock())).toBe('local')
    expect(await identify(door(), knock({}, '10.0.0.1'))).toBe('UNAUTHORIZED')
    expect(await identify(door(), knock({ 'x-forwarded-for': '1.2.3.4' }))).toBe('UNAUTHORIZED')
    expect(await identify(door(), knock({ host: 'evil.example' }))).toBe('UNAUTHORIZED')
    expect(await identify(door(REQUIRED), knock())).toBe('UNAUTHORIZED')
  })

  test('is a person by his token, in either header', async () => {
    const token = await tokens.issue(ann)
    for (const headers of [
      { authorization: `Bearer ${token}` },
      { authorization: `bearer  ${token}` },
      { 'x-api-key': token },
    ]) {
      expect(await door(REQUIRED).identify(knock(headers))).toMatchObject(ann)
    }
  })

  test('is nobody by the token of a user who is not there, or of this machine elsewhere', async () => {
    const as = async (tenant: string) => ({
      authorization: `Bearer ${await tokens.issue(aPerson({ tenant }))}`,
    })
    for (const tenant of ['nobody', '00000000-0000-4000-8000-000000000000']) {
      expect(await identify(door(), knock(await as(tenant)))).toBe('UNAUTHORIZED')
    }
    expect(await identify(door(), knock(await as('local')))).toBe('person')
    expect(await identify(door(REQUIRED), knock(await as('local')))).toBe('UNAUTHORIZED')
  })

  test.each([
    { authorization: 'Bearer nonsense' },
    { authorization: 'Bearer ' },
    { authorization: 'Bearer' },
    { authorization: 'Basic bG9jYWw6' },
    { authorization: '' },
    { authorization: 'a b c' },
    { 'x-api-key': 'nonsense' },
    { 'x-api-key': '' },
  ])(
    'R4: a credential that is not valid is never made up for by being on this machine: %j',
    async (headers) => {
      expect(await identify(door(), knock(headers))).toBe('UNAUTHORIZED')
    },
  )

  test('R4: two credentials are none', async () => {
    const token = await tokens.issue(ann)
    const headers = { authorization: [`Bearer ${token}`, `Bearer ${token}`] }
    expect(await identify(door(), knock(headers))).toBe('UNAUTHORIZED')
  })
})
