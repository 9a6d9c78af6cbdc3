import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { type Config, readConfig } from '../../src/config.ts'
import { wrong } from './config-mistakes.ts'

const SECRET = 'x'.repeat(32)

/** A variable, texts that it takes and what becomes of them, and texts that it does not. */
interface Row {
  readonly name: string
  readonly taken: readonly (readonly [text: string, config: Partial<Config>])[]
  readonly refused: readonly string[]
}

const NO_NUMBERS = ['-1', '1.5', 'abc', ' 5', '5 ', '5s', '0x10', '1e3', '٣', '+1', '1,000', 'NaN']
const NO_FLAGS = ['1', 'yes', 'TRUE', 'on', ' true']

const ROWS: readonly Row[] = [
  {
    name: 'HOST',
    taken: [
      ['0.0.0.0', { host: '0.0.0.0', auth: 'required' }],
      ['::1', { host: '::1', auth: 'local' }],
    ],
    refused: [],
  },
  {
    name: 'SERVER_PORT',
    taken: [
      ['0', { port: 0 }],
      ['65535', { port: 65_535 }],
    ],
    refused: ['65536', ...NO_NUMBERS],
  },
  {
    name: 'DATABASE_URL',
    taken: ['postgres://u:p@h:5432/d', 'postgresql://h/d?sslmode=require'].map((url) => [
      url,
      { database: { type: 'postgres', url }, listenUrl: url },
    ]),
    refused: ['mysql://h/d', 'h:5432/d', 'postgres', 'http://h/d'],
  },
  {
    name: 'LISTEN_DATABASE_URL',
    taken: [['postgres://h/d', {}]],
    refused: ['mysql://h/d', 'nonsense'],
  },
  { name: 'DB_ADAPTER', taken: [], refused: ['mysql', 'sqlite', 'Postgres'] },
  {
    name: 'LOOPGATE_DATA_DIR',
    taken: [
      ['memory://', { database: { type: 'embedded', dataDir: 'memory://' } }],
      ['/var/lib/loop gate', { database: { type: 'embedded', dataDir: '/var/lib/loop gate' } }],
    ],
    refused: [],
  },
  {
    name: 'LOG_LEVEL',
    taken: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => [
      level,
      { logLevel: level },
    ]),
    refused: ['verbose', 'INFO', '30'],
  },
  {
    name: 'REQUEST_TIMEOUT',
    taken: [
      ['1', { requestTimeoutSeconds: 1 }],
      ['2592000', { requestTimeoutSeconds: 2_592_000 }],
    ],
    refused: ['0', '2592001', ...NO_NUMBERS],
  },
  {
    name: 'MAX_CONCURRENT_REQUESTS',
    taken: [
      ['1', { maxPending: 1 }],
      ['100000', { maxPending: 100_000 }],
    ],
    refused: ['0', ...NO_NUMBERS],
  },
  {
    name: 'EVENT_RETENTION_DAYS',
    taken: [
      ['1', { eventRetentionDays: 1 }],
      ['365', { eventRetentionDays: 365 }],
    ],
    refused: ['0', ...NO_NUMBERS],
  },
  {
    name: 'PUBLIC_URL',
    taken: [
      [
        'https://gate.example.com/x',
        { publicUrl: new URL('https://gate.example.com/x'), auth: 'required' },
      ],
      ['http://localhost:8080', { publicUrl: new URL('http://localhost:8080'), auth: 'local' }],
    ],
    refused: ['gate.example.com', 'ftp://gate.example.com', '/gate', 'https://'],
  },
  {
    name: 'JWT_SECRET',
    taken: [[SECRET, { jwtSecret: SECRET }]],
    refused: ['x'.repeat(31), 'short'],
  },
  { name: 'API_KEY_PREFIX', taken: [['my-key_', {}]], refused: ['a b', 'é', 'x'.repeat(33)] },
  {
    name: 'AUTH',
    taken: [
      ['local', { auth: 'local' }],
      ['required', { auth: 'required' }],
    ],
    refused: ['none', 'Local'],
  },
  {
    name: 'REGISTRATION',
    taken: [
      ['open', {}],
      ['first', {}],
      ['closed', {}],
    ],
    refused: ['yes', 'Open'],
  },
  {
    name: 'CALLBACK_ALLOW_PRIVATE',
    taken: [
      ['true', { callbackAllowPrivate: true }],
      ['false', { callbackAllowPrivate: false }],
    ],
    refused: NO_FLAGS,
  },
  {
    name: 'ALLOWED_ORIGINS',
    taken: [
      ['https://a.example', { allowedOrigins: ['https://a.example'] }],
      [
        'https://a.example, http://b.example:8080',
        { allowedOrigins: ['https://a.example', 'http://b.example:8080'] },
      ],
    ],
    refused: [
      '*',
      'a.example',
      'https://a.example/',
      'https://a.example/x',
      'null',
      'HTTPS://A.example',
      'https://a.example,,',
    ],
  },
  {
    name: 'TRUST_PROXY',
    taken: [
      ['false', { trustProxy: false }],
      ...['10.0.0.1', '10.0.0.0/8', 'loopback', '::1', 'fd00::/8', '10.0.0.1, 192.168.0.0/16'].map(
        (text): [string, Partial<Config>] => [text, { trustProxy: text }],
      ),
    ],
    refused: [
      'true',
      'nonsense',
      '1',
      '10.0.0',
      '10.0.0.0/33',
      '10.0.0.0/x',
      '10.0.0.0/0',
      '10.0.0.1,,',
    ],
  },
  {
    name: 'SHUTDOWN_GRACE',
    taken: [
      ['0', { shutdownGraceSeconds: 0 }],
      ['60', { shutdownGraceSeconds: 60 }],
    ],
    refused: NO_NUMBERS,
  },
]

describe.each(ROWS)('$name', ({ name, taken, refused }) => {
  test.each(taken)('takes %j', (text, config) => {
    expect(readConfig({ [name]: text })).toMatchObject(config)
  })

  test.each(refused)('refuses %j, by its name', (text) => {
    expect(wrong({ [name]: text })).toEqual([name])
  })

  test('that is empty is not set', () => {
    const { channels: _, ...empty } = readConfig({ [name]: '' })
    const { channels: __, ...unset } = readConfig({})
    expect(empty).toEqual(unset)
  })
})

test('whatever TRUST_PROXY takes, the HTTP server understands', () => {
  for (const [text] of ROWS.find(({ name }) => name === 'TRUST_PROXY')?.taken ?? []) {
    const { trustProxy } = readConfig({ TRUST_PROXY: text })
    expect(() => fastify({ trustProxy })).not.toThrow()
  }
})
