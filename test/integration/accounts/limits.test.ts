import { describe, expect, test } from 'vitest'
import { aName, login, makeKey, openAccount, register } from '../../support/accounts.ts'
import type { TestApp } from '../../support/app.ts'
import { openServer } from '../../support/readers/server.ts'
import { openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

/** A server behind a proxy on this machine that says where calls come from. */
const behindProxy = () => openServer('pglite', { AUTH: 'required', TRUST_PROXY: 'loopback' })

const from = (address: string) => ({ 'x-forwarded-for': address })

const statuses = async (count: number, call: (i: number) => Promise<{ status: number }>) => {
  const seen: number[] = []
  for (let i = 0; i < count; i++) seen.push((await call(i)).status)
  return seen
}

const tally = (seen: readonly number[]) =>
  Object.fromEntries([...new Set(seen)].map((one) => [one, seen.filter((s) => s === one).length]))

describe('wrong passwords', () => {
  test('of one address for one user are slowed down, and say until when', async () => {
    await using server = await behindProxy()
    const { username } = await openAccount(server.app)
    const attacker = from('203.0.113.7')
    const wrong = () => login(server.app, username, 'wrong password', attacker)
    expect(tally(await statuses(20, wrong))).toEqual({ 401: 10, 429: 10 })
    const limited = await wrong()
    expect(limited.body).toMatchObject({ code: 'RATE_LIMITED' })
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(Number(limited.headers.get('retry-after'))).toBeLessThanOrEqual(60)
    // Also when he has it right in the end, but not for whoever comes from elsewhere.
    expect((await login(server.app, username, undefined, attacker)).status).toBe(429)
    expect((await login(server.app, username, undefined, from('198.51.100.1'))).status).toBe(200)
    expect((await login(server.app, username)).status).toBe(200)
  })

  test('at once are no way around', async () => {
    await using server = await behindProxy()
    const { username } = await openAccount(server.app)
    const all = await Promise.all(
      Array.from({ length: 60 }, () => login(server.app, username, 'wrong password')),
    )
    expect(tally(all.map(({ status }) => status))[401]).toBeLessThanOrEqual(13)
  })

  test('of many addresses for one user keep out who was never here, and not its owner', async () => {
    await using server = await behindProxy()
    const { username } = await openAccount(server.app)
    const home = from('198.51.100.1')
    expect((await login(server.app, username, undefined, home)).status).toBe(200)
    const wrong = (i: number) => login(server.app, username, 'wrong', from(`203.0.113.${i}`))
    expect(tally(await statuses(100, wrong))).toEqual({ 401: 50, 429: 50 })
    expect((await login(server.app, username, undefined, from('192.0.2.9'))).status).toBe(429)
    expect((await login(server.app, username, undefined, home)).status).toBe(200)
  })

  test('of one address for many users, there or not, are slowed down', async () => {
    await using server = await behindProxy()
    const wrong = () => login(server.app, aName(), 'wrong password', from('203.0.113.7'))
    expect(tally(await statuses(70, wrong))).toEqual({ 401: 60, 429: 10 })
  })

  test('right ones are never too many', async () => {
    await using server = await behindProxy()
    const { username } = await openAccount(server.app)
    const seen = await statuses(15, () => login(server.app, username))
    expect(tally(seen)).toEqual({ 200: 15 })
  })
}, 60_000)

describe('wrong credentials', () => {
  const WRONG = { authorization: `Bearer lk_pub_${'0'.repeat(64)}` }
  const pending = (app: TestApp, headers: Record<string, string>) =>
    app.get('/hitl/pending', headers)

  test('are slowed down on every way in; right ones and none at all are not', async () => {
    await using server = await openServer('pglite', { AUTH: 'required' })
    const { app } = server
    const right = await makeKey(app, await openAccount(app))
    expect(tally(await statuses(100, () => pending(app, WRONG)))).toEqual({ 401: 60, 429: 40 })
    const opened = FrameSocket.open(app.url, { headers: WRONG })
    await expect(opened).rejects.toMatchObject({ status: 429 })
    const joined = openSocketIo(app.url, { auth: { token: 'wrong' } })
    await expect(joined).rejects.toMatchObject({ data: { code: 'RATE_LIMITED' } })
    expect((await pending(app, {})).status).toBe(401)
    expect((await pending(app, right.headers)).status).toBe(200)
    await using socket = await FrameSocket.open(app.url, { headers: right.headers })
    expect(await socket.first('hello')).toMatchObject({ type: 'hello' })
    // Nor do they keep anybody from logging in.
    expect((await login(app, aName(), 'wrong password')).status).toBe(401)
  })

  test('of a network of IPv6 are of one address', async () => {
    await using server = await behindProxy()
    const wrong = (i: number) => pending(server.app, { ...WRONG, ...from(`2001:db8:1:2:${i}::1`) })
    expect(tally(await statuses(70, wrong))).toEqual({ 401: 60, 429: 10 })
    const next = { ...WRONG, ...from('2001:db8:1:3::1') }
    expect((await pending(server.app, next)).status).toBe(401)
  })

  test('are not counted elsewhere for a made-up X-Forwarded-For', async () => {
    await using server = await openServer('pglite', { AUTH: 'required' })
    const wrong = (i: number) => pending(server.app, { ...WRONG, ...from(`203.0.113.${i}`) })
    expect(tally(await statuses(70, wrong))).toEqual({ 401: 60, 429: 10 })
  })

  test('that are guesses at the console link are slowed down', async () => {
    await using server = await openServer('pglite')
    const guess = () => server.app.post('/api/auth/link', { code: 'guessed' })
    expect(tally(await statuses(70, guess))).toEqual({ 401: 60, 429: 10 })
  })
})

test('users are made from one address so many a minute', async () => {
  await using server = await openServer('pglite')
  const short = () => register(server.app, aName(), 'short')
  expect(tally(await statuses(130, short))).toEqual({ 400: 130 })
  const taken = await openAccount(server.app)
  const again = () => register(server.app, taken.username)
  expect(tally(await statuses(130, again))).toEqual({ 409: 119, 429: 11 })
})
