import { randomBytes } from 'node:crypto'
import type { TestApp } from './app.ts'

export const PASSWORD = 'correct horse battery staple'

/** A registered user who has logged in, as a client sees one. */
export interface Account {
  readonly id: string
  readonly username: string
  readonly token: string
  readonly headers: Record<string, string>
}

export interface MadeKey {
  readonly id: string
  readonly key: string
  readonly headers: Record<string, string>
}

export interface KeyView {
  readonly id: string
  readonly raw_key?: string
  readonly label: string | null
  readonly prefix: string
  readonly last_used_at: string | null
  readonly expires_at: string | null
  readonly created_at: string
  readonly is_active: boolean
}

export const bearer = (token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
})

export const aName = (): string => `user-${randomBytes(6).toString('hex')}`

export const register = (app: TestApp, username: unknown, password: unknown = PASSWORD) =>
  app.post<{ message: string; user_id: string }>('/api/auth/register', { username, password })

export const login = (
  app: TestApp,
  username: unknown,
  password: unknown = PASSWORD,
  headers: Record<string, string> = {},
) =>
  app.post<{ token: string; user_id: string; username: string }>(
    '/api/auth/login',
    { username, password },
    headers,
  )

/** @throws when the server does not let us. */
export async function openAccount(app: TestApp, username = aName()): Promise<Account> {
  const made = await register(app, username)
  if (made.status !== 201) throw new Error(`register: ${JSON.stringify(made.body)}`)
  const { status, body } = await login(app, username)
  if (status !== 200) throw new Error(`login: ${JSON.stringify(body)}`)
  return { id: body.user_id, username, token: body.token, headers: bearer(body.token) }
}

export const postKey = (app: TestApp, headers: Record<string, string>, fields: unknown = {}) =>
  app.post<KeyView>('/api/user/apikeys', fields, headers)

/** @throws when the server does not let us. */
export async function makeKey(app: TestApp, account: Account, fields = {}): Promise<MadeKey> {
  const { status, body } = await postKey(app, account.headers, fields)
  if (status !== 201) throw new Error(`key: ${JSON.stringify(body)}`)
  const key = body.raw_key ?? ''
  return { id: body.id, key, headers: bearer(key) }
}

export const listKeys = async (app: TestApp, account: Account): Promise<readonly KeyView[]> =>
  (await app.get<readonly KeyView[]>('/api/user/apikeys', account.headers)).body

export async function revokeKey(app: TestApp, account: Account, id: string) {
  const response = await fetch(`${app.url}/api/user/apikeys/${id}`, {
    method: 'DELETE',
    headers: account.headers,
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
