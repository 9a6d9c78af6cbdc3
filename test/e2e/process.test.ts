import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Command, npmStart } from '../support/process.ts'
import { FakeTelegram } from '../support/telegram/telegram.ts'

const LISTENING = /listening on (http:\S+)/

describe('npm start', () => {
  test('needs nothing, and says in a line each where it listens, which database it has and how to decide', async () => {
    await using server = npmStart()
    const [, address = ''] = await server.said(LISTENING)
    await server.said(/^database: embedded PostgreSQL in memory/m)
    await server.said(/^console: .*\/console\?code=[\w-]{22}$/m)
    const health = await fetch(`${address}/health`)
    expect(await health.json()).toMatchObject({ status: 'healthy', service: 'loopgate' })
    server.signal('SIGTERM')
    expect(await server.exit()).toMatchObject({ code: 0 })
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s in the middle of a wait answers who waits, ends the streams and exits 0',
    async (signal) => {
      await using server = new Command('node', ['src/main.ts'], {
        SERVER_PORT: '0',
        LOOPGATE_DATA_DIR: 'memory://',
      })
      const [, address = ''] = await server.said(LISTENING)
      const post = (path: string, body: object) =>
        fetch(`${address}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      await post('/hitl/register', { session_id: 's', client_id: 'c' })
      const stream = await fetch(`${address}/hitl/stream?session_id=s`)
      const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
      await reader?.read()
      const held = post('/hitl/request?wait=40', {
        session_id: 's',
        client_id: 'c',
        message: 'Still there?',
      })
      // The question is in the stream, so its answer is being waited for.
      expect((await reader?.read())?.value).toContain('request.created')
      server.signal(signal)
      expect(await (await held).json()).toMatchObject({ status: 'pending' })
      expect((await reader?.read())?.value).toMatch(/^retry: \d+\n\n$/)
      expect((await reader?.read())?.done).toBe(true)
      expect(await server.exit()).toMatchObject({ code: 0 })
    },
  )

  test('a wrong configuration lists every mistake by its variable, opens nothing, and exits 2', async () => {
    await using server = npmStart({
      SERVER_PORT: 'eighty',
      REQUEST_TIMEOUT: '0',
      DATABASE_URL: 'mysql://x',
      AUTH: 'local',
      HOST: '0.0.0.0',
      TELEGRAM_MODE: 'webhook',
      JWT_SECRET: 'short',
    })
    const { code, stdout, stderr } = await server.exit()
    expect(code).toBe(2)
    expect(stdout).not.toMatch(LISTENING)
    for (const variable of [
      ...['SERVER_PORT', 'REQUEST_TIMEOUT', 'DATABASE_URL', 'AUTH', 'JWT_SECRET'],
      ...['PUBLIC_URL', 'TELEGRAM_WEBHOOK_SECRET'],
    ]) {
      expect(stderr).toMatch(new RegExp(`^ +${variable}: `, 'm'))
    }
  })

  test('a second process on the same data directory exits 2 and says who has it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'loopgate-e2e-'))
    const env = { SERVER_PORT: '0', LOOPGATE_DATA_DIR: directory }
    try {
      await using first = new Command('node', ['src/main.ts'], env)
      await first.said(LISTENING)
      await using second = new Command('node', ['src/main.ts'], env)
      const { code, stderr } = await second.exit()
      expect(code).toBe(2)
      expect(stderr).toMatch(/in use by another Loopgate: process \d+, running since/)
      first.signal('SIGKILL')
      await first.exit()
      await using third = new Command('node', ['src/main.ts'], env)
      await third.said(LISTENING)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  test('a database that hangs up is named in two lines, with what to look at', async () => {
    const hangsUp = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    await once(hangsUp, 'listening')
    const { port } = hangsUp.address() as AddressInfo
    await using server = npmStart({ DATABASE_URL: `postgres://a:b@127.0.0.1:${port}/c` })
    const { code, stderr } = await server.exit()
    hangsUp.close()
    expect(code).toBe(1)
    expect(stderr).toMatch(/^The database can not be used: .+\nSee DATABASE_URL, or leave it out/m)
    expect(stderr).not.toMatch(/^ +at /m)
  })

  test('a bot token that Telegram refuses leaves the server up and says what to do', async () => {
    await using telegram = await FakeTelegram.start()
    await using server = npmStart({
      TELEGRAM_BOT_TOKEN: '123456:this-token-was-never-given-out-by-anybody',
      TELEGRAM_API_ROOT: telegram.apiRoot,
    })
    const [, address = ''] = await server.said(LISTENING)
    await server.said(/^telegram: failed: .*TELEGRAM_BOT_TOKEN/m)
    const health = await fetch(`${address}/health`)
    expect(await health.json()).toMatchObject({ channels: { telegram: 'failed' } })
    server.signal('SIGTERM')
    expect(await server.exit()).toMatchObject({ code: 0 })
  })
})

describe('npm run demo', () => {
  test('with --auto the scripted reviewer decides, and it exits 0', async () => {
    await using demo = new Command('npm', ['run', '--silent', 'demo', '--', '--auto'])
    const { code, stdout } = await demo.exit()
    expect(stdout).toMatch(
      /approved: 🚀 Deploy by local reviewer[\s\S]*ms from the press to the agent/,
    )
    expect(code).toBe(0)
  })

  test('a person decides by typing a number', async () => {
    await using demo = new Command('npm', ['run', '--silent', 'demo'])
    await demo.said(/Your decision \[1-3\]/)
    demo.write('9\n')
    await demo.said(/Please type a number/)
    demo.write('2\n')
    const [line] = await demo.said(/rejected: ⏸️ Hold/)
    expect(line).toBeDefined()
    expect(await demo.exit()).toMatchObject({ code: 0 })
  })

  test('a demo that nobody answers exits 1', async () => {
    await using demo = new Command('npm', ['run', '--silent', 'demo'])
    expect(await demo.exit()).toMatchObject({ code: 1 })
  })
})
