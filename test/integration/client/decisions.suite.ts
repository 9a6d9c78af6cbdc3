import { beforeAll, describe, expect, test } from 'vitest'
import { Loopgate, LoopgateClient, LoopgateError, type Question } from '../../../client/index.ts'
import type { TestApp } from '../../support/app.ts'
import { newSession } from './server.ts'

let server: TestApp

/** What a request comes to. */
export function decisionTests(get: () => TestApp): void {
  beforeAll(() => {
    server = get()
  })

  describe.each(['socketio', 'sse', 'poll'] as const)('over %s alone', (transport) => {
    const open = () => new Loopgate({ url: server.url, transports: [transport] })

    test('a request resolves with how it ended, however that is', async () => {
      await using gate = open()
      await gate.register(newSession())
      const ask = (question: Partial<Question>, then: (requestId: string) => Promise<unknown>) =>
        gate.request({
          message: 'Deploy v2.1.0?',
          ...question,
          onAsked: ({ request_id }) => void then(request_id),
        })
      const options = ['🚀 Deploy', '⏸️ Hold', '🔍 Review First']

      const decisions = await Promise.all([
        ask({ options }, (id) => server.decide(id, { option: '🚀 Deploy', comment: 'go' })),
        ask({ options }, (id) => server.decide(id, { option: '⏸️ Hold' })),
        ask({ options }, (id) => server.decide(id, { option: '🔍 Review First' })),
        ask({ type: 'input' }, (id) => server.decide(id, { response: 'yes' })),
        ask({}, (id) => server.decide(id, { response: 'yes' })),
        ask({}, (id) => gate.cancel(id)),
        ask({ timeoutSeconds: 1 }, async () => undefined),
      ])

      expect(
        decisions.map(({ outcome, approved, response }) => [outcome, approved, response]),
      ).toEqual([
        ['approved', true, '🚀 Deploy'],
        ['rejected', false, '⏸️ Hold'],
        ['answered', false, '🔍 Review First'],
        ['answered', false, 'yes'],
        ['approved', true, 'yes'],
        ['canceled', false, null],
        ['expired', false, null],
      ])
      expect(decisions[0]).toMatchObject({
        comment: 'go',
        decidedBy: { channel: 'console', id: 'local', name: 'local reviewer' },
        view: { status: 'completed', request_id: decisions[0]?.requestId },
      })
      expect(decisions[6]).toMatchObject({ decidedBy: null, view: { status: 'timeout' } })
    })

    test('a request of another process is waited for, and found when it is settled', async () => {
      await using asking = open()
      await using waiting = open()
      const session = newSession()
      await asking.register(session)
      const asked = Promise.withResolvers<string>()
      const question = asking.request({
        message: 'Send it?',
        onAsked: ({ request_id }) => asked.resolve(request_id),
      })
      const requestId = await asked.promise

      const pending = waiting.decision(requestId)
      await server.decide(requestId, { response: 'yes' })

      expect(await pending).toMatchObject({ requestId, approved: true })
      expect(await waiting.decision(requestId)).toEqual(await question)
    })
  })

  test('registering answers the link and the webhook secret, and sets what is left out later', async () => {
    await using gate = new Loopgate({ url: server.url })
    const session = newSession()

    const registered = await gate.register(session)

    expect(registered).toEqual({
      sessionId: session.sessionId,
      linkUrl: null,
      webhookSecret: expect.stringMatching(/^whsec_/),
    })
    const controller = new AbortController()
    const asked = Promise.withResolvers<string>()
    const question = gate.request({
      message: 'Delete the bucket?',
      metadata: { bucket: 'logs' },
      signal: controller.signal,
      onAsked: (view) => asked.resolve(view.request_id),
    })
    const requestId = await asked.promise
    expect(await gate.get(requestId)).toMatchObject({
      session_id: session.sessionId,
      client_id: 'agent',
      metadata: { bucket: 'logs' },
      status: 'pending',
    })
    expect(await gate.pending(session.sessionId)).toMatchObject([{ request_id: requestId }])
    await gate.cancel(requestId)
    expect(await question).toMatchObject({ outcome: 'canceled', approved: false })
    expect(await gate.pending(session.sessionId)).toEqual([])
  })

  test('a refusal is thrown at once, with its code and what is wrong', async () => {
    await using gate = new Loopgate({ url: server.url })
    await expect(gate.request({ message: 'x' })).rejects.toMatchObject({ code: 'NOT_REGISTERED' })
    expect(() => gate.on('*', () => undefined)).toThrow(LoopgateError)

    await expect(
      gate.request({ message: 'x', sessionId: 'nobody', clientId: 'agent' }),
    ).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND', status: 404 })

    await gate.register(newSession())
    await expect(gate.request({ message: '', options: ['a', 'a'] })).rejects.toMatchObject({
      name: 'LoopgateError',
      code: 'INVALID_INPUT',
      status: 400,
      errors: expect.arrayContaining([{ path: '/message', message: expect.any(String) }]),
    })
    await expect(gate.get('nothing')).rejects.toMatchObject({ code: 'REQUEST_NOT_FOUND' })
    await expect(gate.decision('nothing')).rejects.toMatchObject({ code: 'REQUEST_NOT_FOUND' })

    await using stranger = new Loopgate({ url: server.url, apiKey: 'lk_pub_wrong' })
    await expect(stranger.register(newSession())).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      status: 401,
    })
  })

  test('canceling what is settled tells what holds', async () => {
    await using gate = new Loopgate({ url: server.url })
    await gate.register(newSession())
    const { requestId } = await gate.request({
      message: 'Go?',
      onAsked: ({ request_id }) => void server.decide(request_id, { response: 'no' }),
    })

    await expect(gate.cancel(requestId)).rejects.toMatchObject({
      code: 'REQUEST_ALREADY_SETTLED',
      status: 409,
      request: { request_id: requestId, outcome: 'rejected' },
    })
  })

  test('one key is one question, also for another process', async () => {
    await using first = new Loopgate({ url: server.url })
    await using second = new Loopgate({ url: server.url })
    const session = newSession()
    await first.register(session)
    await second.register(session)
    const question = { message: 'Again?', idempotencyKey: 'Zwölf Boxkämpfer ✅' }
    const asked: string[] = []
    const onAsked = ({ request_id }: { request_id: string }) => asked.push(request_id)

    const one = first.request({ ...question, onAsked })
    const two = second.request({ ...question, onAsked })
    await expect.poll(() => asked.length).toBe(2)
    expect(new Set(asked).size).toBe(1)
    await server.decide(asked[0] ?? '', { response: 'yes' })

    expect(await one).toEqual(await two)
    expect(await first.request(question)).toEqual(await one)
    await expect(second.request({ ...question, message: 'Other?' })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      status: 422,
    })
  })

  test('a callbackUrl is where the server posts how it ended', async () => {
    await using gate = new Loopgate({ url: server.url })
    await gate.register(newSession())
    const callbackUrl = 'https://agents.example/hook'
    const asked = Promise.withResolvers<string>()
    const decision = gate.request({
      message: 'Deploy?',
      callbackUrl,
      onAsked: ({ request_id }) => asked.resolve(request_id),
    })
    const requestId = await asked.promise
    const { body } = await server.get(`/api/requests/${requestId}/callbacks`)
    expect(body).toMatchObject({ callbacks: [{ url: callbackUrl, attempts: [] }] })
    await gate.cancel(requestId)
    expect(await decision).toMatchObject({ approved: false })
    await expect(
      gate.request({ message: 'Deploy?', callbackUrl: 'ftp://x' }),
    ).rejects.toMatchObject({ code: 'INVALID_INPUT', status: 400 })
  })

  test('many requests share one connection', async () => {
    await using gate = new Loopgate({ url: server.url, transports: ['socketio'] })
    await gate.register(newSession())

    const decisions = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        gate.request({
          message: `Question ${i}`,
          onAsked: ({ request_id }) =>
            void server.decide(request_id, { response: i % 2 === 0 ? 'yes' : 'no' }),
        }),
      ),
    )

    expect(decisions.map(({ approved }) => approved)).toEqual(decisions.map((_, i) => i % 2 === 0))
    expect(decisions.map(({ view }) => view.message)).toEqual(
      decisions.map((_, i) => `Question ${i}`),
    )
  })

  test('the client of the Go Loopgate is called as it was', async () => {
    const client = new LoopgateClient(server.url)
    const { sessionId, clientId } = newSession()

    expect(await client.registerSession(sessionId, clientId, 123_456_789)).toMatchObject({
      success: true,
      session_id: sessionId,
      message: 'Session registered successfully',
    })

    await using gate = new Loopgate({ url: server.url })
    const answer = async (option: string) => {
      await expect.poll(() => gate.pending(sessionId)).toHaveLength(1)
      const [view] = await gate.pending(sessionId)
      await server.decide(view?.request_id ?? '', { option })
    }
    const yes = client.requestApproval(sessionId, clientId, 'Approve deployment?', ['Yes', 'No'])
    await answer('Yes')
    expect(await yes).toMatchObject({
      status: 'completed',
      response: 'Yes',
      approved: true,
      request_id: expect.any(String),
      completed: true,
    })
    const no = client.requestApproval(
      sessionId,
      clientId,
      'Sure?',
      ['Yes', 'No'],
      { risk: 'high' },
      60,
    )
    await answer('No')
    expect(await no).toMatchObject({ approved: false, response: 'No', metadata: { risk: 'high' } })
  })
}
