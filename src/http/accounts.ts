import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiKey, KeyStore, RegistrationPolicy, User, UserStore } from '../core/account.ts'
import { LoopgateError } from '../core/errors.ts'
import type { KeyUsage } from '../core/key-usage.ts'
import { knockOf } from '../core/knock.ts'
import type { Authenticator, Knock } from '../core/ports.ts'
import { LOCAL_TENANT, type Person } from '../core/principal.ts'
import {
  isPassword,
  parseAccount,
  parseKey,
  parseLogin,
  usernameKey,
} from '../protocol/accounts.ts'
import { digestOf } from './auth.ts'
import { callers } from './callers.ts'
import type { Limits } from './limits.ts'
import { Passwords } from './passwords.ts'
import type { PersonTokens } from './tokens.ts'

export interface AccountOptions {
  readonly users: UserStore
  readonly keys: KeyStore
  readonly usage: KeyUsage
  readonly auth: Authenticator
  readonly tokens: PersonTokens
  readonly limits: Limits
  readonly addressOf: (knock: Knock) => string
  readonly registration: RegistrationPolicy
  readonly keyPrefix: string
}

/** Users and the keys of their agents. */
export function addAccountRoutes(http: FastifyInstance, options: AccountOptions): void {
  addUserRoutes(http, options)
  addKeyRoutes(http, options)
}

function addUserRoutes(http: FastifyInstance, options: AccountOptions): void {
  const { users, tokens, limits, addressOf } = options
  const passwords = new Passwords()

  http.post('/api/auth/register', async (request, reply) => {
    const { username, password } = parseAccount(request.body)
    await limits.registration(addressOf(knockOf(request)))
    await admitNewUser(options)
    const key = usernameKey(username)
    if (await users.findByName(key)) throw new LoopgateError('USERNAME_TAKEN')
    const passwordHash = await passwords.hash(password)
    const onlyFirst = options.registration === 'first'
    const { id } = await users.create({ username, usernameKey: key, passwordHash }, onlyFirst)
    return reply.code(201).send({ message: 'User registered successfully', user_id: id })
  })

  http.post('/api/auth/login', async (request) => {
    const { usernameKey: key = '', password } = parseLogin(request.body)
    const address = addressOf(knockOf(request))
    await limits.beforeLogin(key, address)
    // A longer one is nobody's, and is not hashed.
    const given = isPassword(password) ? password : undefined
    let user: (User & { readonly passwordHash: string }) | undefined
    const isRight = await passwords.verify(given ?? '', async () => {
      // Again, in its turn: those before it may have failed meanwhile.
      await limits.beforeLogin(key, address)
      user = given === undefined ? undefined : await users.findByName(key)
      return user?.passwordHash
    })
    if (!isRight || !user) {
      await limits.wrongLogin(key, address)
      throw new LoopgateError('UNAUTHORIZED', 'the username or the password is wrong')
    }
    limits.loggedIn(key, address)
    const { id, username } = user
    const token = await tokens.issue({
      ...{ type: 'person', tenant: id, channel: 'console', id, name: username },
    })
    return { token, user_id: id, username }
  })
}

/** Whether whoever asks now may become a user. */
export async function mayRegister({
  registration,
  users,
}: Pick<AccountOptions, 'registration' | 'users'>): Promise<boolean> {
  return registration === 'open' || (registration === 'first' && !(await users.hasAny()))
}

/** @throws {LoopgateError} FORBIDDEN, before anything is done for whoever asks. */
async function admitNewUser(options: AccountOptions): Promise<void> {
  if (await mayRegister(options)) return
  throw new LoopgateError('FORBIDDEN', 'registration is closed; see REGISTRATION')
}

function addKeyRoutes(http: FastifyInstance, options: AccountOptions): void {
  const { keys, usage, auth, keyPrefix } = options
  const users = callers((request) => userOf(auth, request))
  const { onRequest } = users

  http.post('/api/user/apikeys', { onRequest }, async (request, reply) => {
    const wanted = parseKey(request.body)
    const key = `${keyPrefix}${randomBytes(32).toString('hex')}`
    const made = await keys.create(users.of(request).tenant, {
      ...wanted,
      prefix: keyPrefix,
      digest: digestOf(key),
    })
    const { last_used_at: _, is_active: __, ...view } = toView(made)
    return reply.code(201).send({ ...view, raw_key: key })
  })

  http.get('/api/user/apikeys', { onRequest }, async (request) => {
    await usage.flush()
    return (await keys.list(users.of(request).tenant)).map(toView)
  })

  http.delete<{ Params: { id: string } }>(
    '/api/user/apikeys/:id',
    { onRequest },
    async (request) => {
      const isRevoked = await keys.revoke(users.of(request).tenant, request.params.id)
      if (!isRevoked) throw new LoopgateError('NOT_FOUND', 'no key has this id')
      return { message: 'API key revoked successfully' }
    },
  )
}

/** @throws {LoopgateError} UNAUTHORIZED, or FORBIDDEN for whoever is no registered user. */
async function userOf(auth: Authenticator, request: FastifyRequest): Promise<Person> {
  const principal = await auth.identify(knockOf(request))
  if (principal.type !== 'person') {
    throw new LoopgateError('FORBIDDEN', 'only a person has keys; an agent can not make its own')
  }
  if (principal.tenant === LOCAL_TENANT) {
    throw new LoopgateError('FORBIDDEN', 'keys belong to a user: register one and log in')
  }
  return principal
}

function toView(key: ApiKey) {
  return {
    id: key.id,
    label: key.label,
    prefix: key.prefix,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    expires_at: key.expiresAt?.toISOString() ?? null,
    created_at: key.createdAt.toISOString(),
    is_active: key.isActive,
    ...(!key.mayRegister && { may_register: false }),
  }
}
