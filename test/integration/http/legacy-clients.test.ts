import { describe, expect, test } from 'vitest'
import type { TestApp } from '../../support/app.ts'
import { serve } from '../../support/readers/server.ts'

/**
 * The loops that clients of the Go Loopgate run, as they are written there: they know the routes, the
 * fields and the words, and nothing else. Only their pause between two polls is left out.
 */
const app = serve('postgres')

type Json = Record<string, unknown>

async function call(url: string, body?: Json): Promise<Json> {
  const init = body && {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  }
  const response = await fetch(url, init)
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as Json
}

/** Answers as soon as the client has polled three times. */
function answerAfterPolls(server: TestApp, answer: object) {
  let polls = 0
  return async (requestId: unknown): Promise<void> => {
    polls++
    if (polls === 3) await server.decide(String(requestId), answer)
  }
}

describe('an old client', () => {
  test('that polls until status is "completed" gets its answer', async () => {
    const { url } = app()
    await call(`${url}/hitl/register`, {
      ...{ session_id: 'legacy-1', client_id: 'go-client', telegram_id: 123456789 },
    })
    const submitted = await call(`${url}/hitl/request`, {
      ...{ session_id: 'legacy-1', client_id: 'go-client', message: 'Deploy to production?' },
      ...{ request_type: 'confirmation', options: ['Approve', 'Deny'], timeout_seconds: 300 },
      metadata: { env: 'prod' },
    })
    expect(submitted).toMatchObject({ success: true, status: 'pending' })
    const person = answerAfterPolls(app(), { option: 'Approve' })
    let polled: Json
    do {
      await person(submitted['request_id'])
      polled = await call(`${url}/hitl/poll?request_id=${submitted['request_id']}`)
    } while (polled['status'] !== 'completed')
    expect(polled).toMatchObject({ response: 'Approve', approved: true, completed: true })
  })

  test('that polls until completed is true gets its answer', async () => {
    const { url } = app()
    await call(`${url}/hitl/register`, { session_id: 'legacy-2', client_id: 'py-client' })
    const { request_id } = await call(`${url}/hitl/request`, {
      ...{ session_id: 'legacy-2', client_id: 'py-client', message: 'Which region?' },
      ...{ request_type: 'input', timeout_seconds: 60 },
    })
    const person = answerAfterPolls(app(), { response: 'eu-west-1' })
    let polled: Json
    do {
      await person(request_id)
      polled = await call(`${url}/hitl/poll?request_id=${request_id}`)
    } while (!polled['completed'])
    expect(polled).toMatchObject({ status: 'completed', response: 'eu-west-1', approved: false })
  })

  test('that registers at /sessions/register and gives up on a timeout is told', async () => {
    const { url } = app()
    const session = { session_id: 'legacy-3', client_id: 'old-client' }
    const registered = await call(`${url}/sessions/register`, session)
    expect(registered).toMatchObject({
      success: true,
      session_id: 'legacy-3',
      message: 'Session registered successfully',
    })
    const { request_id } = await call(`${url}/hitl/request`, {
      ...session,
      message: 'Anybody?',
      options: ['Yes', 'No'],
    })
    const pending = await call(`${url}/hitl/pending`)
    expect(pending['pending_requests']).toContainEqual(expect.objectContaining({ request_id }))
    await call(`${url}/hitl/cancel`, { request_id: String(request_id) })
    let polled: Json
    do polled = await call(`${url}/hitl/poll?request_id=${request_id}`)
    while (!['completed', 'timeout', 'canceled'].includes(String(polled['status'])))
    expect(polled).toMatchObject({ status: 'canceled', completed: true, approved: false })
    const { active } = await call(`${url}/hitl/status?session_id=legacy-3`)
    expect(active).toBe(true)
  })
})
