import { describe, expect, test } from 'vitest'
import type { Envelope, RequestView } from '../../../src/protocol/types.ts'
import { READERS } from '../../support/readers/index.ts'
import type { Line } from '../../support/readers/line.ts'
import { type Reader, Refused } from '../../support/readers/reader.ts'
import { ANN, DATABASES, type Scene, stage } from '../transport-scene.ts'

/** Everybody who waits for one decision, however they wait. */
interface Crowd extends AsyncDisposable {
  readonly asked: RequestView
  readonly readers: Readonly<Record<string, Reader>>
  /** The polls that are held open, and the submission itself. */
  readonly held: Promise<readonly RequestView[]>
}

describe.each(DATABASES)('on %s', (kind) => {
  const scene = stage(kind)

  test('one press in Telegram arrives everywhere, with one cursor and one content', async () => {
    const line = await scene().lineToAnn()
    await using crowd = await gather(scene(), line)
    const card = await scene().telegram.waitForMessage(ANN.id, ({ text = '' }) =>
      text.includes(line.id),
    )
    await Promise.all(
      Object.values(crowd.readers).map((reader) => reader.first('request.delivered')),
    )
    const messageId = card.message_id
    await scene().telegram.pressButton({ user: ANN.id, messageId, label: '⏸️ Hold' }).confirmed
    const [decided] = (await line.log()).slice(-1)
    expect(decided).toMatchObject({
      type: 'request.decided',
      request_id: crowd.asked.request_id,
      data: {
        status: 'completed',
        outcome: 'rejected',
        approved: false,
        response: '⏸️ Hold',
        decided_by: { channel: 'telegram', id: String(ANN.id), name: 'Ann' },
        delivery: [{ channel: 'telegram', status: 'delivered' }],
      },
    })
    for (const [name, reader] of Object.entries(crowd.readers)) {
      const events = await reader.upTo(decided?.id ?? '')
      expect({ name, event: events.at(-1) }).toEqual({ name, event: decided })
      expect(events.filter(isTerminal)).toHaveLength(1)
    }
    for (const view of await crowd.held) {
      expect({ ...decided?.data, ...view }).toEqual(view)
      expect(view.cursor).toBe(decided?.id)
    }
  })

  // One real second, because the deadline is the database's own.
  test('no press at all is expiry everywhere, and nobody is said to have decided', async () => {
    const { app } = scene()
    const line = await scene().line()
    await using opened = new AsyncDisposableStack()
    const readers = await Promise.all(
      Object.values(READERS).map((connect) => connect(app.url, { target: line.target })),
    )
    for (const reader of readers) opened.use(reader)
    const body = { session_id: line.id, client_id: line.clientId, message: 'Anybody?' }
    const submission = app.post('/hitl/request?wait=50', { ...body, timeout_seconds: 1 })
    const created = await readers[0]?.first('request.created')
    const requests = Object.entries(READERS).filter(([name]) => name !== 'poll')
    for (const [, connect] of requests) {
      const target = { request_id: created?.request_id ?? '' }
      readers.push(opened.use(await connect(app.url, { target })))
    }
    const polled = app.get<RequestView>(`/hitl/poll?request_id=${created?.request_id}&wait=50`)
    const answer: RequestView = (await submission).body
    expect(answer).toMatchObject({
      status: 'timeout',
      outcome: 'expired',
      completed: true,
      approved: false,
      response: null,
      comment: null,
      decided_by: null,
    })
    const lived = Date.parse(answer.responded_at ?? '') - Date.parse(answer.expires_at)
    expect(lived).toBeGreaterThanOrEqual(0)
    expect({ success: true, ...(await polled).body }).toEqual(answer)
    for (const reader of readers) {
      const expired = (await reader.upTo(answer.cursor)).at(-1)
      expect(expired?.type).toBe('request.expired')
      expect({ success: true, ...expired?.data }).toEqual(answer)
    }
    const late = await app.decide(answer.request_id, { response: 'yes' })
    expect({ status: late.status, code: late.body.code }).toEqual({
      status: 409,
      code: 'REQUEST_ALREADY_SETTLED',
    })
    expect(late.body.request).toEqual((await polled).body)
  })
})

const isTerminal = ({ data }: Envelope): boolean => data.completed

async function gather(scene: Scene, line: Line): Promise<Crowd> {
  const { app } = scene
  await using opened = new AsyncDisposableStack()
  const readers: Record<string, Reader> = {}
  const join = async (target: 'session' | 'request', id: string): Promise<void> => {
    for (const [name, connect] of Object.entries(READERS)) {
      if (target === 'request' && name === 'poll') continue
      const wish = target === 'session' ? { session_id: id } : { request_id: id }
      readers[`${name} by ${target}`] = opened.use(await connect(app.url, { target: wish }))
    }
  }
  await join('session', line.id)
  const submission = app.post<RequestView>('/hitl/request?wait=50', {
    session_id: line.id,
    client_id: line.clientId,
    message: `Deploy for ${line.id}?`,
    options: ['🚀 Deploy', '⏸️ Hold'],
  })
  const created = await readers['sse by session']?.first('request.created')
  if (!created) throw new Refused('nobody heard of it')
  const { request_id } = created
  await join('request', request_id)
  const polls = [1, 2].map(() => app.get(`/hitl/poll?request_id=${request_id}&wait=50`))
  const held = Promise.all([submission, ...polls]).then((answers) =>
    answers.map(({ body }): RequestView => body),
  )
  const closing = opened.move()
  const leave = () => closing.disposeAsync()
  return { asked: created.data, readers, held, [Symbol.asyncDispose]: leave }
}
