import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import type { KeyStore, TicketStore, UserStore } from '../core/account.ts'
import { LoopgateError } from '../core/errors.ts'
import type { KeyUsage } from '../core/key-usage.ts'
import type { Authenticator, Knock } from '../core/ports.ts'
import { LOCAL, LOCAL_TENANT, type Person, type Principal } from '../core/principal.ts'
import type { Limits } from './limits.ts'
import type { PersonTokens } from './tokens.ts'

export interface AuthOptions {
  /** `local`: programs on this machine need no key. */
  readonly mode: 'local' | 'required'
  readonly host: string
  readonly publicUrl: URL | undefined
  readonly allowedOrigins: readonly string[]
  readonly tokens: PersonTokens
  readonly users: Pick<UserStore, 'has'>
  readonly keys: Pick<KeyStore, 'findByDigest'>
  readonly tickets: Pick<TicketStore, 'redeem'>
  readonly usage: Pick<KeyUsage, 'note'>
  readonly limits: Pick<Limits, 'wrongCredential'>
  /** Where somebody comes from, for counting. */
  readonly addressOf: (knock: Knock) => string
}

/** Longer ones are no credential of ours. */
const MAX_CREDENTIAL = 4_096

const NOT_VALID =
  'the credential is not valid: wrong, expired or revoked; a user makes keys with POST /api/user/apikeys'

/** The digest by which a secret is known that is random enough to need no slow hash. */
export const digestOf = (secret: string): string =>
  createHash('sha256').update(secret).digest('hex')

/**
 * The door of every route and every socket.
 *
 * A browser sends the page's Origin with whatever it does to us, and the name that the page was
 * loaded from as Host: a foreign Origin is refused always, a foreign Host in local mode, where an
 * attacker's name may be made to resolve to this machine (DNS rebinding).
 */
export class HttpAuthenticator implements Authenticator {
  readonly #options: AuthOptions
  readonly #hosts: ReadonlySet<string>
  readonly #origins: ReadonlySet<string>

  constructor(options: AuthOptions) {
    this.#options = options
    this.#hosts = new Set(
      ['localhost', '127.0.0.1', '[::1]', bracketed(options.host), options.publicUrl?.hostname]
        .filter((host) => host !== undefined)
        .map((host) => host.toLowerCase()),
    )
    this.#origins = new Set([
      ...options.allowedOrigins,
      ...(options.publicUrl ? [options.publicUrl.origin] : []),
    ])
  }

  admit({ headers }: Knock): void {
    const host = single(headers, 'host')
    if (this.#options.mode === 'local' && !this.#isOurs(host)) {
      throw new LoopgateError('FORBIDDEN', 'this Host is not one of this server')
    }
    const origin = single(headers, 'origin')
    if (origin === undefined || this.#origins.has(origin)) return
    if (host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)) return
    throw new LoopgateError('FORBIDDEN', 'this Origin is not allowed; see ALLOWED_ORIGINS')
  }

  async identify(knock: Knock): Promise<Principal> {
    const { ticket } = knock
    const credential = credentialOf(knock)
    if (credential === undefined && ticket === undefined) {
      if (this.#isLocal(knock)) return LOCAL
      throw new LoopgateError(
        'UNAUTHORIZED',
        'send an API key as "Authorization: Bearer …" or "X-API-Key: …"; a user makes keys with POST /api/user/apikeys',
      )
    }
    // Two credentials are none: which of them holds must not depend on who reads.
    const principal =
      ticket === undefined
        ? await this.#recognise(credential ?? '')
        : credential === undefined && (await this.#redeem(ticket, knock))
    return principal || this.refuse(knock, NOT_VALID)
  }

  async refuse(knock: Knock, reason: string): Promise<never> {
    await this.#options.limits.wrongCredential(this.#options.addressOf(knock))
    throw new LoopgateError('UNAUTHORIZED', reason)
  }

  /** Whom a key or a token stands for. They can not be mistaken: a key has no dots. */
  async #recognise(credential: string): Promise<Principal | undefined> {
    if (credential.length > MAX_CREDENTIAL) return undefined
    if (credential.includes('.')) {
      return this.#known(await this.#options.tokens.verify(credential))
    }
    // With whichever prefix: a key holds longer than the variable that it was made with.
    if (!/^[\w-]{1,32}[0-9a-f]{64}$/.test(credential)) return undefined
    const agent = await this.#options.keys.findByDigest(digestOf(credential))
    if (agent) this.#options.usage.note(agent.id)
    return agent
  }

  /** The person, if there is still such a user. */
  async #known(person: Person | undefined): Promise<Person | undefined> {
    if (!person) return undefined
    const { tenant } = person
    const isThere =
      tenant === LOCAL_TENANT
        ? this.#options.mode === 'local'
        : await this.#options.users.has(tenant)
    return isThere ? person : undefined
  }

  async #redeem(ticket: string, knock: Knock): Promise<Principal | undefined> {
    const principal = await this.#options.tickets.redeem(digestOf(ticket))
    switch (principal?.type) {
      case 'person':
        return isOver(principal) ? undefined : this.#known(principal)
      case 'local':
        return this.#isLocal(knock) ? principal : undefined
      default:
        return principal
    }
  }

  #isLocal(knock: Knock): boolean {
    return (
      this.#options.mode === 'local' &&
      isFromThisMachine(knock) &&
      this.#isOurs(single(knock.headers, 'host'))
    )
  }

  #isOurs(host: string | undefined): boolean {
    return host !== undefined && this.#hosts.has(host.toLowerCase().replace(/:\d+$/, ''))
  }
}

const isOver = ({ until }: Person): boolean => until !== undefined && until.getTime() <= Date.now()

const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host)

/** What came through a proxy came from elsewhere, whatever the proxy's own address is. */
export function isFromThisMachine({ headers, remoteAddress = '' }: Knock): boolean {
  const isForwarded = Object.keys(headers).some(
    (name) => name === 'forwarded' || name.startsWith('x-forwarded-'),
  )
  return !isForwarded && (remoteAddress === '::1' || /^(::ffff:)?127\./.test(remoteAddress))
}

function single(headers: Knock['headers'], name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

function credentialOf({ headers }: Knock): string | undefined {
  const authorization = single(headers, 'authorization')
  if (authorization === undefined) return single(headers, 'x-api-key')
  // RFC 6750, section 2.1. Another scheme is a credential that nobody here can check.
  return /^Bearer +([^\s,]+)$/i.exec(authorization)?.[1] ?? ''
}
