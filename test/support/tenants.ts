import { afterAll, beforeAll } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { type Account, type MadeKey, makeKey, openAccount } from './accounts.ts'
import type { TestApp } from './app.ts'
import { WatchedServer } from './hardening.ts'

/** The session, client and idempotency key that both tenants use. */
export const SAME = { session_id: 'same', client_id: 'c', idempotency_key: 'k' } as const

/** What is nobody's. */
export const NOWHERE = '00000000-0000-4000-8000-000000000000'
export const NO_SESSION = 'no-such-session'

/** A user with a key, a session named like the other tenant's, one that is not, and a question. */
export interface Tenant {
  readonly account: Account
  readonly key: MadeKey
  /** A session that the other tenant has none like. */
  readonly own: string
  /** Asked in the session that both have. */
  readonly asked: RequestView
}

/** @throws when the server does not let us. */
export async function openTenant(app: TestApp, message: string): Promise<Tenant> {
  const account = await openAccount(app)
  const key = await makeKey(app, account)
  const own = `of-${account.username}`
  for (const session_id of [SAME.session_id, own]) {
    await app.post('/hitl/register', { session_id, client_id: SAME.client_id }, key.headers)
  }
  return { account, key, own, asked: await askAs(app, key.headers, { ...SAME, message }) }
}

/** Asks in the session that both have, and returns the view. @throws when the server does not let us. */
export async function askAs(
  app: TestApp,
  headers: Record<string, string>,
  fields: object = {},
): Promise<RequestView> {
  const { idempotency_key: _, ...names } = SAME
  const question = { ...names, message: 'Deploy?', options: ['Yes', 'No'], ...fields }
  const { status, body } = await app.post('/hitl/request', question, headers)
  if (status !== 200) throw new Error(`ask: ${JSON.stringify(body)}`)
  return body
}

/** Asks and approves as a user made for it, where there is no console link. */
export function approver(): (app: TestApp) => Promise<void> {
  let made: Promise<Account> | undefined
  return async (app) => {
    made ??= openAccount(app)
    const { headers } = await made
    const { session_id, client_id } = SAME
    await app.post('/hitl/register', { session_id, client_id }, headers)
    const { request_id } = await askAs(app, headers)
    const path = `/api/requests/${request_id}/decision`
    const { body } = await app.post(path, { option: 'Yes' }, headers)
    if (!body.approved) throw new Error(`no approval: ${JSON.stringify(body)}`)
  }
}

/** A server that lets nobody in without a credential, whose proxy says where calls come from. */
export const startGuarded = (env: Record<string, string> = {}): Promise<WatchedServer> =>
  WatchedServer.start(
    { AUTH: 'required', REGISTRATION: 'open', TRUST_PROXY: 'loopback', ...env },
    { approve: approver() },
  )

/** Comes from this address, as the proxy says. */
export const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })

export interface TwoTenants {
  readonly server: WatchedServer
  readonly app: TestApp
  readonly ours: Tenant
  readonly theirs: Tenant
}

/** Opened before the tests of a file, and closed after them. */
export function twoTenants(env: Record<string, string> = {}): () => TwoTenants {
  let opened: TwoTenants | undefined
  beforeAll(async () => {
    const server = await startGuarded(env)
    const { app } = server
    const ours = await openTenant(app, 'Whose?')
    const theirs = await openTenant(app, 'Theirs?')
    for (const { account, key } of [ours, theirs]) server.keepSecret(account.token, key.key)
    opened = { server, app, ours, theirs }
  })
  afterAll(() => opened?.server[Symbol.asyncDispose]())
  return () => {
    if (!opened) throw new Error('the server is not open')
    return opened
  }
}
