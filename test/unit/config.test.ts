import { describe, expect, test } from 'vitest'
import { ConfigError, type Environment, readConfig } from '../../src/config.ts'
import { mistakes, wrong } from './config-mistakes.ts'

const SECRET = 'x'.repeat(32)
const TELEGRAM = { TELEGRAM_BOT_TOKEN: '123456:token' }

const channelsOf = (env: Environment) => readConfig(env).channels.length

test('with nothing set everything has its default', () => {
  expect(readConfig({})).toEqual({
    host: '127.0.0.1',
    port: 8080,
    database: { type: 'embedded', dataDir: './.loopgate' },
    listenUrl: undefined,
    eventRetentionDays: 30,
    logLevel: 'info',
    requestTimeoutSeconds: 300,
    maxPending: 100,
    publicUrl: undefined,
    jwtSecret: undefined,
    auth: 'local',
    registration: 'open',
    apiKeyPrefix: 'lk_pub_',
    callbackAllowPrivate: false,
    allowedOrigins: [],
    trustProxy: false,
    shutdownGraceSeconds: 10,
    channels: [expect.any(Function)],
  })
})

test('other processes are listened for where LISTEN_DATABASE_URL says, and only on PostgreSQL', () => {
  const env = { LISTEN_DATABASE_URL: 'postgres://direct/d' }
  expect(readConfig(env).listenUrl).toBeUndefined()
  const config = readConfig({ ...env, DATABASE_URL: 'postgres://pooler/d' })
  expect(config.listenUrl).toBe('postgres://direct/d')
  expect(config.database).toEqual({ type: 'postgres', url: 'postgres://pooler/d' })
})

test('what is read can not be changed', () => {
  const config = readConfig({})
  expect(Object.isFrozen(config)).toBe(true)
  expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError)
})

test('variables that are not ours are nobody’s business', () => {
  expect(wrong({ PATH: '/bin', npm_config_port: 'x', SERVER_PORTS: 'x' })).toEqual([])
})

describe('who needs a key', () => {
  test.each([
    ['127.0.0.1', undefined, 'local'],
    ['127.1.2.3', undefined, 'local'],
    ['localhost', undefined, 'local'],
    ['::1', undefined, 'local'],
    ['localhost', 'http://127.0.0.1:8080', 'local'],
    ['localhost', 'http://[::1]:8080', 'local'],
    ['0.0.0.0', undefined, 'required'],
    ['::', undefined, 'required'],
    ['192.168.1.2', undefined, 'required'],
    ['gate.example.com', undefined, 'required'],
    ['127.0.0.1', 'https://gate.example.com', 'required'],
    ['127.0.0.1', 'https://localhost.example.com', 'required'],
    ['127.0.0.1', 'http://127.0.0.1.example.com', 'required'],
  ])(
    'HOST=%s PUBLIC_URL=%s is %s, and can not be made local when it is not',
    (HOST, PUBLIC_URL, auth) => {
      expect(readConfig({ HOST, PUBLIC_URL }).auth).toBe(auth)
      expect(readConfig({ HOST, PUBLIC_URL, AUTH: 'required' }).auth).toBe('required')
      expect(wrong({ HOST, PUBLIC_URL, AUTH: 'local' })).toEqual(auth === 'local' ? [] : ['AUTH'])
    },
  )
})

describe('the legacy form of the database', () => {
  const partsOf = (DB_URI: string) => {
    const { database } = readConfig({ DB_ADAPTER: 'postgres', DB_URI })
    if (database.type !== 'postgres') expect.fail('it is a PostgreSQL')
    const { username, password, hostname, port, pathname, searchParams } = new URL(database.url)
    const [user, secret, dbname] = [username, password, pathname.slice(1)].map(decodeURIComponent)
    return {
      host: hostname,
      port,
      user,
      password: secret,
      dbname,
      ssl: searchParams.get('sslmode'),
    }
  }

  test.each([
    [
      'host=db port=5433 user=me password=secret dbname=gate sslmode=disable',
      { host: 'db', port: '5433', user: 'me', password: 'secret', dbname: 'gate', ssl: 'disable' },
    ],
    [
      'host=db dbname=gate',
      { host: 'db', port: '5432', user: 'postgres', password: '', dbname: 'gate', ssl: null },
    ],
    ['dbname=gate', { host: 'localhost', dbname: 'gate' }],
    ['host=db user=me', { host: 'db', user: 'me', dbname: 'me' }],
    ['  host = db   dbname\t=\ngate  ', { host: 'db', dbname: 'gate' }],
    ["host='db' password='two words' dbname=gate", { password: 'two words' }],
    [String.raw`host=db password='it\'s \\ok' dbname=gate`, { password: "it's \\ok" }],
    ["host=db password='' dbname=gate", { password: '' }],
    ['host=db password=p@ss:w/rd?#% dbname=gate', { password: 'p@ss:w/rd?#%', host: 'db' }],
    ['host=db dbname=gate connect_timeout=5', { host: 'db', dbname: 'gate' }],
  ])('%s', (text, parts) => {
    expect(partsOf(text)).toMatchObject(parts)
  })

  test.each([
    ...['nonsense', 'port=5432', 'host', "host='db", 'host=db dbname', '=db', 'host=db ; dbname=x'],
    ...['postgres://u:p@h/d', 'Host=db'],
  ])('refuses %j', (DB_URI) => {
    expect(wrong({ DB_URI })).toEqual(['DB_URI'])
  })

  test.each([
    'host=db port=nonsense password=hunter2 dbname=gate',
    'host=db port=99999 password=hunter2 dbname=gate',
    "host='two words' password=hunter2 dbname=gate",
    'host=::1 password=hunter2 dbname=gate',
    'host=/var/run/postgresql password=hunter2 dbname=gate',
  ])('refuses, or makes a URL of, %j', (DB_URI) => {
    if (wrong({ DB_URI }).length > 0) return
    const { database } = readConfig({ DB_URI })
    expect(database.type === 'postgres' && URL.canParse(database.url)).toBe(true)
  })

  test('gives way to DATABASE_URL', () => {
    const url = 'postgres://h/d'
    const config = readConfig({ DATABASE_URL: url, DB_ADAPTER: 'postgres', DB_URI: 'host=other' })
    expect(config.database).toEqual({ type: 'postgres', url })
    expect(wrong({ DB_ADAPTER: 'postgres', DATABASE_URL: url })).toEqual([])
  })

  test('needs DB_URI with DB_ADAPTER', () => {
    expect(wrong({ DB_ADAPTER: 'postgres' })).toEqual(['DB_URI'])
    expect(wrong({ DB_ADAPTER: 'postgres', DB_URI: '' })).toEqual(['DB_URI'])
  })
})

describe('Telegram', () => {
  const webhook = {
    ...TELEGRAM,
    TELEGRAM_MODE: 'webhook',
    PUBLIC_URL: 'https://gate.example.com',
    TELEGRAM_WEBHOOK_SECRET: SECRET,
  }

  test('is on with a token', () => {
    expect(channelsOf(TELEGRAM)).toBe(channelsOf({}) + 1)
    expect(channelsOf({ TELEGRAM_BOT_TOKEN: '' })).toBe(channelsOf({}))
    expect(channelsOf({ ...TELEGRAM, TELEGRAM_MODE: 'polling' })).toBe(channelsOf({}) + 1)
    expect(channelsOf(webhook)).toBe(channelsOf({}) + 1)
  })

  test.each([
    [{ TELEGRAM_MODE: 'push' }, ['TELEGRAM_MODE']],
    [{ TELEGRAM_API_ROOT: 'nonsense' }, ['TELEGRAM_API_ROOT']],
    [{ TELEGRAM_API_ROOT: 'ftp://x' }, ['TELEGRAM_API_ROOT']],
    [{ ...webhook, PUBLIC_URL: '' }, ['PUBLIC_URL']],
    [{ ...webhook, TELEGRAM_WEBHOOK_SECRET: '' }, ['TELEGRAM_WEBHOOK_SECRET']],
    [{ ...webhook, TELEGRAM_WEBHOOK_SECRET: 'x'.repeat(31) }, ['TELEGRAM_WEBHOOK_SECRET']],
    [{ ...webhook, TELEGRAM_WEBHOOK_SECRET: ' '.repeat(40) }, ['TELEGRAM_WEBHOOK_SECRET']],
    [{ ...webhook, TELEGRAM_WEBHOOK_SECRET: 'é'.repeat(40) }, ['TELEGRAM_WEBHOOK_SECRET']],
    [{ ...TELEGRAM, TELEGRAM_MODE: 'webhook' }, ['PUBLIC_URL', 'TELEGRAM_WEBHOOK_SECRET']],
    [
      { ...TELEGRAM, TELEGRAM_MODE: 'webhook', TELEGRAM_API_ROOT: 'nonsense' },
      ['PUBLIC_URL', 'TELEGRAM_API_ROOT', 'TELEGRAM_WEBHOOK_SECRET'],
    ],
  ])('refuses %j', (env, names) => {
    expect(wrong({ ...TELEGRAM, ...env })).toEqual(names)
  })
})

describe('a wrong configuration', () => {
  const env = {
    HOST: '0.0.0.0',
    AUTH: 'local',
    SERVER_PORT: 'http',
    DATABASE_URL: 'mysql://h/d',
    DB_ADAPTER: 'postgres',
    DB_URI: 'nonsense',
    LOG_LEVEL: 'loud',
    REQUEST_TIMEOUT: '0',
    PUBLIC_URL: 'gate',
    JWT_SECRET: 'short',
    ALLOWED_ORIGINS: '*',
    TELEGRAM_MODE: 'push',
    TELEGRAM_API_ROOT: 'nonsense',
  }

  test('names every mistake at once: of the server, of the channels and of what does not go together', () => {
    const { HOST: _, DB_ADAPTER: __, ...named } = env
    expect(wrong(env)).toEqual(Object.keys(named).sort())
  })

  test('names each once, and says what was expected', () => {
    const said = mistakes(env)
    expect(new Set(said).size).toBe(said.length)
    for (const text of said) expect(text).toMatch(/^[A-Z_]+: \S/)
  })

  test('is one error, whose text has a line for each', () => {
    const error = new ConfigError(['HOST: must be', 'AUTH: must be'])
    expect(error.message.split('\n')).toEqual([
      'the configuration is wrong:',
      '  HOST: must be',
      '  AUTH: must be',
    ])
  })

  test('does not repeat secrets', () => {
    const secrets = {
      JWT_SECRET: 'hunter2',
      DATABASE_URL: 'mysql://me:hunter2@h/d',
      DB_URI: 'password=hunter2',
      TELEGRAM_MODE: 'webhook',
      TELEGRAM_BOT_TOKEN: 'hunter2',
      TELEGRAM_WEBHOOK_SECRET: 'hunter2',
    }
    expect(mistakes(secrets).length).toBeGreaterThan(3)
    expect(mistakes(secrets).join()).not.toContain('hunter2')
  })
})
