import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Loopgate, type LoopgateOptions, type Retry } from '../../../client/index.ts'
import type { TestApp } from '../../support/app.ts'
import { FlakyProxy } from './proxy.ts'
import { FAST, newSession } from './server.ts'

let server: TestApp
let proxy: FlakyProxy
let retries: Retry[]

const open = (options: Partial<LoopgateOptions> = {}) =>
  new Loopgate({
    url: proxy.url,
    timing: FAST,
    onRetry: (retry) => retries.push(retry),
    ...options,
  })

/** Asks, and says under which id. */
async function ask(
  gate: Loopgate,
  question: { signal?: AbortSignal; idempotencyKey?: string } = {},
) {
  const asked = Promise.withResolvers<string>()
  const decision = gate.request({
    message: 'Deploy v2.1.0?',
    ...question,
    onAsked: ({ request_id }) => asked.resolve(request_id),
  })
  // A request that fails before it was asked fails the test by itself.
  decision.catch(asked.reject)
  return { decision, requestId: await asked.promise }
}

const PATIENT = { timeout: 10_000 }
const PATHS = { socketio: '/socket.io/', sse: '/hitl/stream', poll: '/hitl/poll' } as const

/** What a network can do to a client. */
export function networkTests(get: () => TestApp): void {
  beforeAll(() => {
    server = get()
  })

  beforeEach(async () => {
    proxy = await FlakyProxy.start(server.url)
    retries = []
    return () => proxy[Symbol.asyncDispose]()
  })

  describe('falling back', () => {
    test('Socket.IO that is blocked gives way to SSE', async () => {
      proxy.rule = ({ url }) => (url?.startsWith(PATHS.socketio) ? 'refuse' : 'pass')
      await using gate = open()
      await gate.register(newSession())

      const { decision, requestId } = await ask(gate)
      await expect.poll(() => proxy.open(PATHS.sse)).toBe(1)
      await server.decide(requestId, { response: 'yes' })

      expect(await decision).toMatchObject({ requestId, approved: true })
      expect(retries.map(({ during }) => during)).toEqual(['socketio', 'socketio'])
    })

    test.each([
      ['hangs', 'hang'],
      ['is buffered', 'hold-body'],
      ['is blocked', 'refuse'],
    ] as const)('SSE that %s gives way to polling', async (_, verdict) => {
      proxy.rule = ({ url }) => {
        if (url?.startsWith(PATHS.socketio)) return 'hang'
        return url?.startsWith(PATHS.sse) ? verdict : 'pass'
      }
      await using gate = open()
      await gate.register(newSession())

      const { decision, requestId } = await ask(gate)
      await expect.poll(() => proxy.open(PATHS.poll), PATIENT).toBe(1)
      await server.decide(requestId, { response: 'yes' })

      expect(await decision).toMatchObject({ requestId, approved: true })
      expect(retries.map(({ during }) => during)).toEqual(['socketio', 'socketio', 'sse', 'sse'])

      const next = await ask(gate)
      await server.decide(next.requestId, { response: 'no' })
      expect(await next.decision).toMatchObject({ outcome: 'rejected' })
      expect(retries, 'what is blocked is not tried for every request').toHaveLength(4)
    })

    test('a server that is away for a while costs nothing but time', async () => {
      let isAway = false
      proxy.rule = () => (isAway ? 'cut' : 'pass')
      await using gate = open()
      await gate.register(newSession())
      const { decision, requestId } = await ask(gate)
      await expect.poll(() => proxy.open(PATHS.socketio)).toBe(1)

      isAway = true
      proxy.cut()
      await expect.poll(() => new Set(retries.map(({ during }) => during)).size, PATIENT).toBe(3)
      await server.decide(requestId, { response: 'yes' })
      isAway = false

      expect(await decision).toMatchObject({ requestId, approved: true })
    })
  })

  describe.each(['socketio', 'sse', 'poll'] as const)('over %s', (transport) => {
    test('a request survives connections that are cut, and a decision made meanwhile', async () => {
      await using gate = open({ transports: [transport] })
      await gate.register(newSession())
      const { decision, requestId } = await ask(gate)

      for (let cuts = 1; cuts <= 3; cuts++) {
        await expect.poll(() => proxy.open(PATHS[transport])).toBe(1)
        proxy.cut()
        await expect.poll(() => retries.length).toBeGreaterThanOrEqual(cuts)
      }
      proxy.rule = () => 'cut'
      proxy.cut()
      await server.decide(requestId, { response: 'yes' })
      proxy.rule = () => 'pass'

      expect(await decision).toMatchObject({ requestId, approved: true })
    })

    test('on() tells every event once and in order, whatever is cut', async () => {
      await using gate = open({ transports: [transport] })
      const session = newSession()
      await gate.register(session)
      const heard: string[] = []
      const decided: string[] = []
      const all = gate.on('*', ({ id, type }) => heard.push(`${id} ${type}`))
      gate.on('request.decided', ({ data }) => decided.push(data.message))
      await all.ready

      const asked: string[] = []
      for (let i = 0; i < 12; i++) {
        const { request_id } = await server.ask({
          session_id: session.sessionId,
          client_id: session.clientId,
          message: `Question ${i}`,
        })
        asked.push(request_id)
        if (i % 3 === 1) proxy.cut()
        await server.decide(request_id, { response: 'yes' })
        if (i % 3 === 2) proxy.cut()
      }

      await expect.poll(() => heard.length, PATIENT).toBe(24)
      const log = await server.get<{ events: { id: string; type: string }[] }>(
        `/hitl/poll?session_id=${session.sessionId}&since=earliest`,
      )
      expect(heard).toEqual(log.body.events.map(({ id, type }) => `${id} ${type}`))
      expect(decided).toEqual(asked.map((_, i) => `Question ${i}`))

      all()
      await server.ask({
        session_id: session.sessionId,
        client_id: session.clientId,
        message: 'last',
      })
      const last = await gate.pending(session.sessionId)
      await server.decide(last[0]?.request_id ?? '', { response: 'no' })
      await expect.poll(() => decided.at(-1)).toBe('last')
      expect(heard).toHaveLength(24)
    })

    test('aborting rejects at once and leaves no connection, and the question open', async () => {
      const session = newSession()
      await using gate = open({ transports: [transport] })
      await gate.register(session)
      const controller = new AbortController()
      const { decision, requestId } = await ask(gate, { signal: controller.signal })
      await expect.poll(() => proxy.open(PATHS[transport])).toBe(1)

      const reason = new Error('the user went away')
      controller.abort(reason)

      await expect(decision).rejects.toBe(reason)
      await expect.poll(() => proxy.open(PATHS[transport])).toBe(0)
      expect(await server.view(requestId)).toMatchObject({ status: 'pending' })
      await server.decide(requestId, { response: 'yes' })
      expect(await gate.decision(requestId)).toMatchObject({ approved: true })
    })

    test('nothing is held open when nothing waits', async () => {
      await using gate = open({ transports: [transport] })
      await gate.register(newSession())
      const { decision, requestId } = await ask(gate)
      const off = gate.on('*', () => undefined)
      await off.ready
      await server.decide(requestId, { response: 'yes' })
      await decision
      off()

      await expect.poll(() => proxy.open(PATHS[transport])).toBe(0)
    })
  })

  test('all sessions and requests of a client share one connection', async () => {
    await using gate = open({ transports: ['socketio'] })
    const sessions = [newSession(), newSession(), newSession()]
    const waiting = []
    for (const session of sessions) {
      await gate.register(session)
      for (let i = 0; i < 3; i++) waiting.push(await ask(gate))
    }
    await expect.poll(() => proxy.open(PATHS.socketio)).toBe(1)
    for (const { requestId } of waiting) await server.decide(requestId, { response: 'yes' })

    const decisions = await Promise.all(waiting.map(({ decision }) => decision))
    expect(decisions.map(({ requestId, approved }) => [requestId, approved])).toEqual(
      waiting.map(({ requestId }) => [requestId, true]),
    )
    expect(proxy.seen.filter((seen) => seen.includes(PATHS.socketio))).toHaveLength(1)
  })

  describe('asking', () => {
    test('an answer that was lost is asked for again, and nobody is asked twice', async () => {
      const session = newSession()
      await using gate = open()
      await gate.register(session)
      let lost = 0
      proxy.rule = ({ method, url }) => {
        if (method !== 'POST' || url !== '/hitl/request' || lost === 2) return 'pass'
        lost++
        return 'drop-answer'
      }

      const { decision, requestId } = await ask(gate)
      const pending = await gate.pending(session.sessionId)
      expect(pending.map(({ request_id }) => request_id)).toEqual([requestId])
      await server.decide(requestId, { response: 'yes' })

      expect(await decision).toMatchObject({ requestId, approved: true })
      expect(retries.map(({ during }) => during)).toEqual([
        'POST /hitl/request',
        'POST /hitl/request',
      ])
    })

    test('an aborted question is taken back when that is wanted, also one on its way', async () => {
      const session = newSession()
      await using gate = open({ cancelOnAbort: true })
      await gate.register(session)
      const controller = new AbortController()
      const { decision, requestId } = await ask(gate, { signal: controller.signal })
      controller.abort()
      await expect(decision).rejects.toThrow(/aborted/)
      await expect.poll(() => server.view(requestId)).toMatchObject({ status: 'canceled' })

      const second = new AbortController()
      proxy.rule = ({ url }) => {
        if (url === '/hitl/request') second.abort(new Error('too late'))
        return 'pass'
      }
      await expect(gate.request({ message: 'Now?', signal: second.signal })).rejects.toThrow(
        'too late',
      )
      await expect.poll(() => proxy.seen.filter((seen) => seen.endsWith('/cancel'))).toHaveLength(2)
      await expect.poll(() => gate.pending(session.sessionId)).toEqual([])
    })

    test('a signal that was aborted before asks nobody', async () => {
      const session = newSession()
      await using gate = open()
      await gate.register(session)

      await expect(
        gate.request({ message: 'Now?', signal: AbortSignal.abort(new Error('never mind')) }),
      ).rejects.toThrow('never mind')
      expect(await gate.pending(session.sessionId)).toEqual([])
    })

    test('a server that is away is waited for, until the signal is aborted', async () => {
      proxy.rule = () => 'cut'
      await using gate = open()
      const controller = new AbortController()
      const decision = gate.request({
        ...newSession(),
        message: 'Anybody?',
        signal: controller.signal,
      })
      decision.catch(() => undefined)
      await expect.poll(() => retries.length).toBeGreaterThan(5)
      controller.abort(new Error('no more patience'))

      await expect(decision).rejects.toThrow('no more patience')
      await expect(gate.register(newSession())).rejects.toMatchObject({ code: 'UNREACHABLE' })
    })

    test('closing ends all that waits with CLOSED', async () => {
      const gate = open()
      await gate.register(newSession())
      const { decision } = await ask(gate)
      gate.on('*', () => undefined)
      await expect.poll(() => proxy.open(PATHS.socketio)).toBe(1)

      await gate.close()

      await expect(decision).rejects.toMatchObject({ code: 'CLOSED' })
      await expect(gate.get('x')).rejects.toMatchObject({ code: 'CLOSED' })
      expect(() => gate.on('*', () => undefined)).toThrow(/closed/)
      await expect.poll(() => proxy.open(PATHS.socketio)).toBe(0)
    })
  })
}
