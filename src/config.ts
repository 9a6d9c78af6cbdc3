import { isIP } from 'node:net'
import * as z from 'zod'
import type { ChannelBuilder } from './channels/channel.ts'
import { channels } from './channels/index.ts'
import type { RegistrationPolicy } from './core/account.ts'
import type { DatabaseLocation } from './storage/database.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Config {
  readonly host: string
  readonly port: number
  readonly database: DatabaseLocation
  /** Where to listen for other processes; undefined when the database is ours alone. */
  readonly listenUrl: string | undefined
  readonly eventRetentionDays: number
  readonly logLevel: string
  readonly requestTimeoutSeconds: number
  readonly maxPending: number
  readonly publicUrl: URL | undefined
  readonly jwtSecret: string | undefined
  readonly auth: 'local' | 'required'
  readonly registration: RegistrationPolicy
  /** What generated API keys begin with. */
  readonly apiKeyPrefix: string
  readonly callbackAllowPrivate: boolean
  readonly allowedOrigins: readonly string[]
  readonly trustProxy: string | false
  readonly shutdownGraceSeconds: number
  readonly channels: readonly ChannelBuilder[]
}

/** Lists every mistake, by variable name. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(`the configuration is wrong:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`)
    this.mistakes = mistakes
  }
}

const whole = (min: number, max: number) =>
  z
    .string()
    .refine((text) => /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .transform(Number)

const flag = z.enum(['true', 'false'], { error: 'must be true or false' })

const isUrl = (protocols: readonly string[]) => (text: string) =>
  URL.canParse(text) && protocols.includes(new URL(text).protocol)

const postgresUrl = z.string().refine(isUrl(['postgres:', 'postgresql:']), {
  error: 'must look like postgres://user:password@host:5432/database',
})

/** `https://example.com`, as browsers send it. */
const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
  error: 'must be origins such as https://example.com, with commas between them',
})

const variables = z.object({
  HOST: z.string().default('127.0.0.1'),
  SERVER_PORT: whole(0, 65_535).default(8080),
  DATABASE_URL: postgresUrl.optional(),
  LISTEN_DATABASE_URL: postgresUrl.optional(),
  DB_ADAPTER: z
    .literal('postgres', { error: 'must be postgres; leave it out for the embedded database' })
    .optional(),
  DB_URI: z
    .string()
    .refine((text) => parseKeywords(text) !== undefined && URL.canParse(toUrl(text)), {
      error: 'must look like host=… port=… user=… password=… dbname=… sslmode=…',
    })
    .optional(),
  LOOPGATE_DATA_DIR: z.string().default('./.loopgate'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      error: 'must be trace, debug, info, warn, error, fatal or silent',
    })
    .default('info'),
  REQUEST_TIMEOUT: whole(1, 2_592_000).default(300),
  MAX_CONCURRENT_REQUESTS: whole(1, 1_000_000).default(100),
  EVENT_RETENTION_DAYS: whole(1, 36_500).default(30),
  PUBLIC_URL: z
    .string()
    .refine(isUrl(['http:', 'https:']), { error: 'must look like https://gate.example.com' })
    .transform((text) => new URL(text))
    .optional(),
  JWT_SECRET: z.string().min(32, { error: 'must be at least 32 characters' }).optional(),
  API_KEY_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, { error: 'must be 1 to 32 letters, digits, _ or -' })
    .default('lk_pub_'),
  AUTH: z.enum(['local', 'required'], { error: 'must be local or required' }).optional(),
  REGISTRATION: z
    .enum(['open', 'first', 'closed'], { error: 'must be open, first or closed' })
    .optional(),
  CALLBACK_ALLOW_PRIVATE: flag.default('false'),
  ALLOWED_ORIGINS: z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(origin))
    .optional(),
  TRUST_PROXY: z
    .string()
    .refine((text) => text === 'false' || text.split(',').every((part) => isProxy(part.trim())), {
      error: 'must be false, or addresses and networks such as 10.0.0.1,192.168.0.0/16',
    })
    .default('false'),
  SHUTDOWN_GRACE: whole(0, 3_600).default(10),
})

/** What proxy-addr, below Fastify, understands. */
function isProxy(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', prefix, ...rest] = text.split('/')
  const bits = isIP(address) === 6 ? 128 : 32
  return isIP(address) > 0 && rest.length === 0 && (prefix === undefined || isPrefix(prefix, bits))
}

const isPrefix = (text: string, bits: number): boolean =>
  /^[1-9]\d{0,2}$/.test(text) && Number(text) <= bits

type Variables = z.output<typeof variables>

/**
 * Reads the environment. Everything is checked before anything is opened.
 * @throws {ConfigError} with every mistake there is.
 */
export function readConfig(environment: Environment): Config {
  // An empty variable is one that is not set: that is how .env files leave a thing out.
  const env = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const base = variables.safeParse(env)
  const builders = channels.map(({ builder }) => builder.safeParse(env))
  const mistakes = [base, ...builders].flatMap(({ error }) =>
    (error?.issues ?? []).map(({ path, message }) => `${String(path[0] ?? '')}: ${message}`),
  )
  mistakes.push(...refusedCombinations(env))
  if (!base.success || mistakes.length > 0) throw new ConfigError([...new Set(mistakes)])
  return Object.freeze(
    toConfig(
      base.data,
      builders.flatMap(({ data }) => data ?? []),
    ),
  )
}

/** What is wrong together although each may be right, looked for in whatever could be read. */
function refusedCombinations(env: Environment): string[] {
  const host = env['HOST'] ?? '127.0.0.1'
  const mistakes: string[] = []
  if (env['AUTH'] === 'local' && !isLocalPlace(host, env['PUBLIC_URL'])) {
    mistakes.push(
      'AUTH: local is only for a HOST and a PUBLIC_URL on this machine (127.0.0.1, localhost); ' +
        'leave it out, or set AUTH=required',
    )
  }
  if (env['DB_ADAPTER'] === 'postgres' && !env['DB_URI'] && !env['DATABASE_URL']) {
    mistakes.push('DB_URI: is needed with DB_ADAPTER=postgres')
  }
  return mistakes
}

function isLocalPlace(host: string, publicUrl: string | undefined): boolean {
  const url = publicUrl !== undefined && URL.canParse(publicUrl) ? new URL(publicUrl) : undefined
  return isLoopbackName(host) && (url === undefined || isLoopbackName(url.hostname))
}

const isLoopbackName = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)

function toConfig(env: Variables, builders: readonly ChannelBuilder[]): Config {
  const auth = env.AUTH ?? (isLocalPlace(env.HOST, env.PUBLIC_URL?.href) ? 'local' : 'required')
  const database = databaseOf(env)
  return {
    host: env.HOST,
    port: env.SERVER_PORT,
    database,
    listenUrl: database.type === 'postgres' ? (env.LISTEN_DATABASE_URL ?? database.url) : undefined,
    eventRetentionDays: env.EVENT_RETENTION_DAYS,
    logLevel: env.LOG_LEVEL,
    requestTimeoutSeconds: env.REQUEST_TIMEOUT,
    maxPending: env.MAX_CONCURRENT_REQUESTS,
    publicUrl: env.PUBLIC_URL,
    jwtSecret: env.JWT_SECRET,
    auth,
    registration: env.REGISTRATION ?? (auth === 'local' ? 'open' : 'first'),
    apiKeyPrefix: env.API_KEY_PREFIX,
    callbackAllowPrivate: env.CALLBACK_ALLOW_PRIVATE === 'true',
    allowedOrigins: env.ALLOWED_ORIGINS ?? [],
    trustProxy: env.TRUST_PROXY === 'false' ? false : env.TRUST_PROXY,
    shutdownGraceSeconds: env.SHUTDOWN_GRACE,
    channels: builders,
  }
}

function databaseOf({ DATABASE_URL, DB_URI, LOOPGATE_DATA_DIR }: Variables): DatabaseLocation {
  const url = DATABASE_URL ?? (DB_URI === undefined ? undefined : toUrl(DB_URI))
  return url === undefined
    ? { type: 'embedded', dataDir: LOOPGATE_DATA_DIR }
    : { type: 'postgres', url }
}

/** libpq's keyword form (PostgreSQL manual, "Connection Strings"), with quoted values. */
function parseKeywords(text: string): Map<string, string> | undefined {
  const pair = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))/gy
  const keywords = new Map<string, string>()
  while (pair.lastIndex < text.trimEnd().length) {
    const [, key, quoted, plain] = pair.exec(text) ?? []
    if (key === undefined) return undefined
    if (plain?.startsWith("'")) return undefined
    keywords.set(key, quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '')
  }
  return keywords.has('host') || keywords.has('dbname') ? keywords : undefined
}

function toUrl(text: string): string {
  const keywords = parseKeywords(text) ?? new Map<string, string>()
  const get = (key: string, otherwise: string) => keywords.get(key) ?? otherwise
  const user = encodeURIComponent(get('user', 'postgres'))
  const password = encodeURIComponent(get('password', ''))
  const database = encodeURIComponent(get('dbname', get('user', 'postgres')))
  const host = get('host', 'localhost')
  const place = `${isIP(host) === 6 ? `[${host}]` : host}:${get('port', '5432')}`
  const url = `postgres://${user}:${password}@${place}/${database}`
  const ssl = keywords.get('sslmode')
  return ssl === undefined ? url : `${url}?sslmode=${encodeURIComponent(ssl)}`
}
