import { isIP } from 'node:net'
import { LoopgateError } from '../core/errors.ts'
import type { Authenticator, Knock } from '../core/ports.ts'
import { LOCAL, type Principal } from '../core/principal.ts'
import type { PersonTokens } from './tokens.ts'

export interface AuthOptions {
  /** `local`: programs on this machine need no key. */
  readonly mode: 'local' | 'required'
  readonly host: string
  readonly publicUrl: URL | undefined
  readonly allowedOrigins: readonly string[]
  readonly tokens: PersonTokens
}

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
    const credential = credentialOf(knock)
    if (credential !== undefined) {
      const person = await this.#options.tokens.verify(credential)
      if (person) return person
      throw new LoopgateError('UNAUTHORIZED', 'the credential is not valid')
    }
    if (this.#isLocal(knock)) return LOCAL
    throw new LoopgateError(
      'UNAUTHORIZED',
      'send a credential as "Authorization: Bearer …" or "X-API-Key: …"',
    )
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
