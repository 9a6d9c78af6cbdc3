import type { Socket } from 'socket.io-client'
import { describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import type { TestApp } from '../../support/app.ts'
import type { DatabaseKind } from '../../support/database.ts'
import { Line } from '../../support/readers/line.ts'
import { serve } from '../../support/readers/server.ts'
import { emit, openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const TIMES = 6

/** The ways by which an agent acts: each answers with the view, or with the code of the refusal. */
interface Ways extends AsyncDisposable {
  readonly request: readonly ((body: object) => Promise<RequestView>)[]
  readonly cancel: readonly ((requestId: string) => Promise<unknown>)[]
}

async function openWays(app: TestApp): Promise<Ways> {
  const frames = await FrameSocket.open(app.url)
  const socket: Socket = await openSocketIo(app.url)
  let count = 0
  const overFrames = async (frame: object) => {
    const id = `f${count++}`
    frames.send({ ...frame, id })
    const { type, body, code } = await frames.answer(id)
    return type === 'ack' ? body : code
  }
  const overSocket = async (event: string, body: object) => {
    const { ok, code, ...view } = await emit(socket, event, body)
    return ok ? view : code
  }
  return {
    request: [
      async (body) => {
        const { success: _, ...view } = (
          await app.post<RequestView & { success: true }>('/hitl/request', body)
        ).body
        return view as RequestView
      },
      async (body) => (await overFrames({ type: 'request', body })) as unknown as RequestView,
      async (body) => (await overSocket('request', body)) as unknown as RequestView,
    ],
    cancel: [
      async (request_id) => (await app.post('/hitl/cancel', { request_id })).status,
      (request_id) => overFrames({ type: 'cancel', request_id }),
      (request_id) => overSocket('cancel', { request_id }),
    ],
    async [Symbol.asyncDispose]() {
      socket.disconnect()
      await frames[Symbol.asyncDispose]()
    },
  }
}

const times = <Result>(act: () => Promise<Result>) => Array.from({ length: TIMES }, () => act())

describe.each<DatabaseKind>(['pglite', 'postgres'])('what is repeated, on %s,', (kind) => {
  const app = serve(kind, { CALLBACK_ALLOW_PRIVATE: 'true' })

  test('is one request under one key, over all transports at once', async () => {
    await using ways = await openWays(app())
    const line = await Line.open(app())
    const body = {
      ...{ session_id: line.id, client_id: line.clientId, message: 'Deploy?' },
      ...{ idempotency_key: `${line.id}-key`, callback_url: 'http://127.0.0.1:9/hook' },
    }
    const views = await Promise.all(ways.request.flatMap((ask) => times(() => ask(body))))
    expect(views).toHaveLength(3 * TIMES)
    expect(new Set(views.map(({ request_id }) => request_id)).size).toBe(1)
    expect(await line.log()).toHaveLength(1)
    const [view] = views
    const { body: owed } = await app().get<{ callbacks: unknown[] }>(
      `/api/requests/${view?.request_id}/callbacks`,
    )
    expect(owed.callbacks).toHaveLength(1)
  })

  test('is refused under one key with another body, over every transport', async () => {
    await using ways = await openWays(app())
    const line = await Line.open(app())
    const body = {
      ...{ session_id: line.id, client_id: line.clientId, message: 'Deploy?' },
      idempotency_key: `${line.id}-key`,
    }
    const [overHttp, ...overSockets] = ways.request
    await overHttp?.(body)
    const other = { ...body, message: 'Delete?' }
    expect(await overHttp?.(other)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    for (const ask of overSockets) expect(await ask(other)).toBe('IDEMPOTENCY_MISMATCH')
    expect(await line.log()).toHaveLength(1)
  })

  test('is one decision, however often the same person makes it at once', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const answer = { option: 'Yes', comment: 'go on' }
    const answers = await Promise.all(times(() => app().decide(request_id, answer)))
    expect(answers.map(({ status }) => status)).toEqual(Array(TIMES).fill(200))
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1)
    expect(await line.log()).toHaveLength(2)
    const other = await app().decide(request_id, { ...answer, comment: 'another' })
    expect(other).toMatchObject({ status: 409, body: { request: { comment: 'go on' } } })
  })

  test('is one cancellation, over all transports at once', async () => {
    await using ways = await openWays(app())
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const answers = await Promise.all(
      ways.cancel.flatMap((cancel) => times(() => cancel(request_id))),
    )
    const canceled = expect.objectContaining({ outcome: 'canceled' })
    expect(answers).toEqual([...Array(TIMES).fill(200), ...Array(2 * TIMES).fill(canceled)])
    expect(await line.log()).toHaveLength(2)
  })

  test('is one session with one secret, by both routes at once', async () => {
    const session = { session_id: `twice-${kind}`, client_id: 'agent', telegram_id: 7 }
    const answers = await Promise.all(
      ['/hitl/register', '/sessions/register'].flatMap((path) =>
        times(() => app().post<{ webhook_secret: string }>(path, session)),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(2 * TIMES).fill(200))
    expect(new Set(answers.map(({ body }) => body.webhook_secret)).size).toBe(1)
  })
})
