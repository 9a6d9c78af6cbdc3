import type { IncomingMessage } from 'node:http'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import { invalid, isPassing, LoopgateError, stopping } from '../core/errors.ts'
import { knockOf } from '../core/knock.ts'
import type { Authenticator } from '../core/ports.ts'
import { decodeJson } from '../protocol/json.ts'
import { toLoopgateError, toProblem } from '../protocol/problem.ts'
import { MAX_BODY_BYTES } from '../protocol/requests.ts'

export interface ServerOptions {
  readonly logger: FastifyBaseLogger
  readonly auth: Authenticator
  readonly trustProxy: string | false
  readonly allowedOrigins: readonly string[]
  /** While it stops, the server takes no new work. */
  readonly isDraining: () => boolean
  /** Whether somebody here takes the request as an upgrade. */
  readonly isUpgrade: (request: IncomingMessage) => boolean
}

/** Open also while it stops: whoever watches must see it. */
const ALWAYS_OPEN: readonly string[] = ['/health', '/livez', '/readyz', '/metrics']

/**
 * Who waits for an answer and vanished says nothing: TCP asks after this silence, ten times, once a
 * second. A connection on which something was sent meanwhile is not asked (tcp(7)).
 */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 15_000 } as const

/**
 * OWASP's HTTP Headers Cheat Sheet, as far as it is for an API. What shows a page says what the page
 * may do. HTTPS is the proxy's, and so is Strict-Transport-Security.
 */
const SECURE_HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const

/** What Fastify itself refuses. */
const FASTIFY_ERRORS: Readonly<Record<string, () => LoopgateError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new LoopgateError('PAYLOAD_TOO_LARGE'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new LoopgateError('UNSUPPORTED_MEDIA_TYPE'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    invalid('', 'the body is not as long as its Content-Length'),
  // Fastify's own text repeats the address, query and all.
  FST_ERR_BAD_URL: () => invalid('', 'the address can not be decoded'),
  // An id in the address that is longer than any.
  FST_ERR_MAX_PARAM_LENGTH: () => new LoopgateError('NOT_FOUND'),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => invalid('', 'the body is empty'),
}

/** The Fastify instance that all parts share: limits, JSON alone, the door, and problem errors. */
export function createServer(options: ServerOptions): FastifyInstance {
  const { logger, auth, trustProxy, isDraining, isUpgrade } = options
  const http = fastify({
    loggerInstance: logger,
    // One line a request would be the log; what matters is logged where it happens.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    trustProxy,
    // A client that sends its request a byte at a time is cut off. Answers may take as long as they do.
    requestTimeout: 30_000,
    forceCloseConnections: 'idle',
    // Every other request that asks for an upgrade is answered as if it had not.
    http: { shouldUpgradeCallback: isUpgrade, ...KEEP_ALIVE },
    // Ours, below, says what our errors say.
    return503OnClosing: false,
    // An address that can not be decoded never comes to the hooks.
    frameworkErrors: (error, request, reply) => {
      reply.header('connection', 'close')
      try {
        auth.admit(knockOf(request))
        sendProblem(error, request, reply)
      } catch (refusal) {
        sendProblem(toLoopgateError(refusal), request, reply)
      }
    },
    routerOptions: { maxParamLength: 400 },
  })
  acceptJsonAlone(http)
  http.addHook('onRequest', (request, reply, done) => {
    reply.headers(SECURE_HEADERS)
    // An upgrade that is refused: nobody else would close its socket.
    if (request.headers.upgrade !== undefined) {
      reply.raw.once('finish', () => request.raw.socket.destroySoon())
    }
    // RFC 9112, section 3.2: a proxy in front may have looked at the other one.
    if (hostsOf(request.raw) > 1) throw invalid('', 'the request has more than one Host')
    auth.admit(knockOf(request))
    // Fastify mends what RFC 9110 does not allow in a media type, and other readers do not.
    if (request.headers['content-type']?.includes('\t'))
      throw new LoopgateError('UNSUPPORTED_MEDIA_TYPE')
    if (isDraining() && !ALWAYS_OPEN.includes(path(request))) throw stopping()
    if (allowCrossOrigin(request, reply, options.allowedOrigins)) done()
  })
  http.addHook('onSend', async (_request, reply) => {
    // A connection that is kept alive would hold up the end.
    if (isDraining()) reply.header('connection', 'close')
  })
  http.setErrorHandler(sendProblem)
  http.setNotFoundHandler((request, reply) =>
    sendProblem(
      new LoopgateError('NOT_FOUND', `there is no ${request.method} ${path(request)}`),
      request,
      reply,
    ),
  )
  return http
}

/**
 * Lets the pages of ALLOWED_ORIGINS read our answers (Fetch standard, CORS protocol). False when
 * the request was a preflight, which is answered.
 */
function allowCrossOrigin(
  request: FastifyRequest,
  reply: FastifyReply,
  allowed: readonly string[],
): boolean {
  const { origin } = request.headers
  if (origin === undefined || !allowed.includes(origin)) return true
  reply.headers({
    'access-control-allow-origin': origin,
    'access-control-expose-headers':
      'idempotent-replayed, preference-applied, retry-after, mcp-session-id, www-authenticate',
    vary: 'origin',
  })
  if (request.method !== 'OPTIONS') return true
  reply
    .headers({
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers':
        'authorization, content-type, idempotency-key, last-event-id, prefer, x-api-key, ' +
        'mcp-session-id, mcp-protocol-version, mcp-method, mcp-name',
      'access-control-max-age': '600',
    })
    .code(204)
    .send()
  return false
}

/** Other content types are 415: a form or text/plain can be sent by any web page without asking. */
function acceptJsonAlone(http: FastifyInstance): void {
  http.removeAllContentTypeParsers()
  http.addContentTypeParser(
    // Parameters are ignored (RFC 8259 defines none), unless they say another charset than UTF-8.
    /^application\/json *(;(?!.*charset *=(?! *"?utf-?8"?)).*)?$/i,
    { parseAs: 'buffer' },
    (_request, body, done) => {
      try {
        done(null, decodeJson(body as Buffer))
      } catch (error) {
        done(error as Error)
      }
    },
  )
}

function sendProblem(
  thrown: FastifyError | Error,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = refuse(thrown, request, reply)
  return reply.type('application/problem+json').send(JSON.stringify(toProblem(error)))
}

/** What was thrown as the error that it is, with its status and headers set, and logged if it is ours. */
export function refuse(
  thrown: FastifyError | Error,
  request: FastifyRequest,
  reply: FastifyReply,
): LoopgateError {
  const error = translate(thrown)
  // Who is turned away on purpose, by a stop say, is no fault: thousands may be, and each would be a line.
  if (error.status >= 500 && !(isPassing(error) && error.cause === undefined)) {
    request.log.error(
      { err: error.cause ?? error, code: error.code, path: path(request) },
      error.message,
    )
  }
  const { retryAfterSeconds } = error.details
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds))
  // RFC 9110, section 11.6.1: a 401 names the scheme.
  if (error.code === 'UNAUTHORIZED') reply.header('www-authenticate', 'Bearer realm="loopgate"')
  reply.code(error.status)
  return error
}

function translate(error: FastifyError | Error): LoopgateError {
  if (error instanceof LoopgateError) return error
  const code = 'code' in error ? error.code : ''
  const known = FASTIFY_ERRORS[code]
  if (known) return known()
  const isTheirs = 'statusCode' in error && error.statusCode !== undefined && error.statusCode < 500
  return isTheirs ? invalid('', error.message) : toLoopgateError(error)
}

const hostsOf = ({ rawHeaders }: IncomingMessage): number =>
  rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === 'host').length

/** Without the query, which may carry what does not belong into a log. */
const path = (request: FastifyRequest): string => request.url.split('?', 1)[0] ?? ''
