import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { CallbackAnswer } from '../../../src/core/callback.ts'
import {
  anAgent,
  approval,
  aSession,
  aSubmission,
  overdue,
  TENANT,
} from '../../support/builders.ts'
import { ARRIVED, BROKEN, openOffice } from '../../support/callbacks.ts'
import type { DatabaseKind } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'

const KINDS: readonly DatabaseKind[] = ['pglite', 'postgres']
const URL_A = 'https://a.example/hook'
const URL_B = 'https://b.example/hook'
const GONE: CallbackAnswer = { statusCode: 410, error: 'it answered 410', durationMs: 1 }

const never = (_: unknown, signal: AbortSignal): Promise<CallbackAnswer> => {
  const { promise, resolve } = Promise.withResolvers<CallbackAnswer>()
  const cut = { statusCode: null, error: 'cut off', durationMs: 1 }
  signal.addEventListener('abort', () => resolve(cut))
  return promise
}

describe.each(KINDS)('a callback that is owed, on %s', (kind) => {
  test('is posted directly after commit, without a sweep', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, sender, metrics } = office.process()
    callbacks.start()
    const request = await office.ask(hub, URL_A)
    await hub.cancel(anAgent(), request.question.id)
    await eventually(() => sender.urls).toEqual([URL_A])
    expect(sender.sent).toMatchObject([
      { request: { state: { status: 'canceled' } }, secret: expect.stringMatching(/^whsec_/) },
    ])
    await eventually(() => metrics.calls).toContain('called delivered')
  })

  test('is not posted before the request is settled, nor after it was posted', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, clock, sender, metrics } = office.process()
    callbacks.start()
    const open = await office.ask(hub, URL_A)
    const settled = await office.ask(hub, URL_B)
    await hub.cancel(anAgent(), settled.question.id)
    await eventually(() => metrics.calls).toContain('called delivered')
    await office.everythingIsDue()
    expect(await office.stores.callbacks.takeDue(10, 1)).toEqual([])
    clock.advance(3_000)
    expect(sender.urls).toEqual([URL_B])
    expect(await callbacks.list(anAgent(), open.question.id)).toMatchObject([{ status: 'waiting' }])
  })

  test('of a session is posted directly after commit, whoever asked before and knows nothing of it', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, sender } = office.process()
    callbacks.start()
    const { request } = await hub.submit(anAgent(), aSubmission(overdue))
    const { secret } = await callbacks.register(anAgent(), 'session-1', URL_A)
    await hub.expire(request)
    await eventually(() => sender.sent).toMatchObject([
      { url: URL_A, secret, request: { state: { status: 'expired' } } },
    ])
    const next = await office.ask(hub, URL_B)
    await hub.cancel(anAgent(), next.question.id)
    await eventually(() => sender.urls.toSorted()).toEqual([URL_A, URL_A, URL_B])
    // What is under way when it is asked for again is that post.
    const statuses = async () =>
      (await callbacks.list(anAgent(), next.question.id)).map(({ status }) => status)
    await eventually(statuses).toEqual(['delivered', 'delivered'])
    await callbacks.resend(anAgent(), next.question.id)
    await eventually(() => sender.urls.toSorted()).toEqual([URL_A, URL_A, URL_A, URL_B, URL_B])
  })

  test('of a session is registered by its tenant alone, ten times at the most', async () => {
    await using office = await openOffice(kind)
    const { callbacks } = office.process()
    const register = (url: string) => callbacks.register(anAgent(), 'session-1', url)
    const first = await register(URL_A)
    const session = await office.stores.sessions.find(TENANT, 'session-1')
    expect(first).toEqual({ id: expect.any(String), secret: session?.webhookSecret })
    for (let i = 1; i < 10; i += 1) await register(`https://r${i}.example/hook`)
    await expect(register(URL_B)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    expect(await register(URL_A)).toEqual(first)
    const notFound = { code: 'SESSION_NOT_FOUND' }
    const theirs = anAgent({ tenant: 'theirs' })
    await expect(callbacks.register(theirs, 'session-1', URL_A)).rejects.toMatchObject(notFound)
    await expect(callbacks.register(anAgent(), 'none', URL_A)).rejects.toMatchObject(notFound)
  })

  test('C3: ends when the receiver is gone, however long its address', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, sender } = office.process()
    sender.answer = async () => GONE
    callbacks.start()
    const path = Array.from({ length: 2_000 }, () =>
      String.fromCharCode(0x4e00 + randomInt(20_000)),
    )
    const request = await office.ask(hub, new URL(`https://a.example/${path.join('')}`).href)
    await hub.cancel(anAgent(), request.question.id)
    await eventually(() => callbacks.list(anAgent(), request.question.id)).toMatchObject([
      { status: 'failed', disabled: true, attempts: [{ number: 1 }] },
    ])
  })

  test('C3: of a session is not posted to who is gone, until it is sent again', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, sender } = office.process()
    sender.answer = async () => GONE
    callbacks.start()
    await callbacks.register(anAgent(), 'session-1', URL_A)
    const settle = async () => {
      const { request } = await hub.submit(anAgent(), aSubmission())
      await hub.cancel(anAgent(), request.question.id)
      return request.question.id
    }
    const shown = (id: string) => callbacks.list(anAgent(), id)
    const gone = { status: 'failed', disabled: true }
    const first = await settle()
    await eventually(() => shown(first)).toMatchObject([{ ...gone, attempts: [{ number: 1 }] }])
    const second = await settle()
    await eventually(() => shown(second)).toMatchObject([{ ...gone, attempts: [] }])
    sender.answer = async () => ARRIVED
    await callbacks.resend(anAgent(), second)
    await eventually(() => shown(second)).toMatchObject([{ status: 'delivered', disabled: false }])
  })

  test('C1, C5: is found by the sweep when a crash came between commit and queue', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, clock, sender } = office.process()
    const request = await office.ask(hub, URL_A)
    // The process that settles it dies at once: nobody is told.
    await office.stores.requests.settle(request, approval(), 'person:console:ann')
    callbacks.start()
    await office.everythingIsDue()
    clock.advance(3_000)
    await eventually(() => sender.urls).toEqual([URL_A])
  })

  test('C5: is found again when the process died with the job in hand', async () => {
    await using office = await openOffice(kind)
    const dead = office.process()
    const request = await office.ask(dead.hub, URL_A)
    const { id } = request.question
    await office.stores.requests.settle(request, approval(), 'person:console:ann')
    const [owed] = await office.stores.callbacks.ofRequests([id])
    await dead.jobs.enqueue([{ key: owed?.id ?? '', group: 'local\na.example' }])
    expect(await dead.jobs.take([])).toMatchObject({ key: owed?.id })
    const heir = office.process()
    heir.callbacks.start()
    await office.everythingIsDue()
    heir.clock.advance(3_000)
    await eventually(() => heir.sender.urls).toEqual([URL_A])
  })

  test('P2: is posted by one of two processes', async () => {
    await using office = await openOffice(kind)
    const processes = [office.process(), office.process()] as const
    for (const { callbacks } of processes) callbacks.start()
    const urls = Array.from({ length: 20 }, (_, i) => `https://r${i}.example/hook`)
    for (const url of urls) {
      const request = await office.ask(processes[0].hub, url)
      await processes[0].hub.cancel(anAgent(), request.question.id)
    }
    const sent = () => processes.flatMap(({ sender }) => sender.urls).sort()
    await eventually(() => sent().length).toBe(20)
    await office.everythingIsDue()
    for (const { clock } of processes) clock.advance(3_000)
    expect(sent()).toEqual([...urls].sort())
  })

  test('that failed is tried again when its time has come, with every attempt recorded', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, clock, sender } = office.process()
    sender.answer = async () => BROKEN
    callbacks.start()
    const { id } = (await office.ask(hub, URL_A)).question
    await hub.cancel(anAgent(), id)
    const shown = async () => (await callbacks.list(anAgent(), id))[0]
    for (let attempt = 1; attempt <= 10; attempt += 1) {
      await eventually(async () => (await shown())?.attempts.length).toBe(attempt)
      if (attempt < 10) expect(await shown()).toMatchObject({ status: 'owed' })
      await office.everythingIsDue()
      clock.advance(3_000)
    }
    expect(await shown()).toMatchObject({ status: 'failed', error: BROKEN.error })
    expect(await office.stores.callbacks.count()).toEqual({ owed: 0, failed: 1 })
    expect(new Set(sender.sent.map((owed) => owed.id)).size).toBe(1)
    expect(sender.sent.map(({ failures }) => failures)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    sender.answer = async () => ARRIVED
    await callbacks.resend(anAgent(), id)
    await eventually(async () => (await shown())?.status).toBe('delivered')
    expect(sender.sent.at(-1)?.failures).toBe(0)
  })

  test('keeps its newest attempts, however often it is sent again', async () => {
    await using office = await openOffice(kind)
    const { hub } = office.process()
    const request = await office.ask(hub, URL_A)
    await office.stores.requests.settle(request, approval(), 'person:console:ann')
    const { callbacks } = office.stores
    const [owed] = await callbacks.ofRequests([request.question.id])
    const attempt = { at: new Date(), ...BROKEN }
    const next = { status: 'owed', delayMs: 0, error: BROKEN.error ?? '' } as const
    for (let i = 0; i < 60; i += 1) await callbacks.record(owed?.id ?? '', attempt, next)
    const [shown] = await callbacks.list(request.question.id)
    expect(shown?.attempts.map(({ number }) => number)).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 11),
    )
  })

  test('that was delivered meanwhile stays delivered', async () => {
    await using office = await openOffice(kind)
    const { hub } = office.process()
    const request = await office.ask(hub, URL_A)
    await office.stores.requests.settle(request, approval(), 'person:console:ann')
    const { callbacks } = office.stores
    const [owed] = await callbacks.ofRequests([request.question.id])
    const id = owed?.id ?? ''
    await callbacks.record(id, { at: new Date(), ...ARRIVED }, { status: 'delivered' })
    const late = { status: 'failed', error: 'late' } as const
    await callbacks.record(id, { at: new Date(), ...BROKEN }, late)
    await callbacks.postpone(id, 0)
    expect(await callbacks.claim(id, 1_000)).toBeUndefined()
    expect(await callbacks.list(request.question.id)).toMatchObject([
      { status: 'delivered', error: null, attempts: [{ error: null }, { error: BROKEN.error }] },
    ])
  })

  test('C4: waits behind nobody else’s slow receiver', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, sender } = office.process()
    sender.answer = (owed, signal) =>
      owed.url === URL_A ? never(owed, signal) : Promise.resolve(ARRIVED)
    callbacks.start()
    for (let i = 0; i < 40; i += 1) {
      const slow = await office.ask(hub, URL_A)
      await hub.cancel(anAgent(), slow.question.id)
    }
    await eventually(() => sender.open.length).toBe(4)
    const quick = await office.ask(hub, URL_B)
    await hub.cancel(anAgent(), quick.question.id)
    await eventually(() => sender.urls).toContain(URL_B)
    expect(sender.open).toEqual(['a.example', 'a.example', 'a.example', 'a.example'])
  })

  test('C4: waits behind no other tenant, however many slow receivers that one has', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, sender } = office.process()
    await office.stores.sessions.ensure(aSession({ tenant: 'theirs' }))
    sender.answer = (owed, signal) =>
      owed.url === URL_B ? Promise.resolve(ARRIVED) : never(owed, signal)
    callbacks.start()
    for (let i = 0; i < 40; i += 1) {
      const slow = await office.ask(hub, `https://r${i}.example/hook`)
      await hub.cancel(anAgent(), slow.question.id)
    }
    await eventually(() => sender.open.length).toBe(16)
    const theirs = { ...anAgent(), tenant: 'theirs' }
    const { request } = await hub.submit(theirs, aSubmission({ callbackUrl: URL_B }))
    await hub.cancel(theirs, request.question.id)
    await eventually(() => sender.urls).toContain(URL_B)
    expect(sender.open.length).toBeLessThanOrEqual(16)
  })

  test('of a tenant with slow receivers has its turn when a place is free', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, clock, sender } = office.process()
    const gate = Promise.withResolvers<CallbackAnswer>()
    sender.answer = () => gate.promise
    callbacks.start()
    const urls = Array.from({ length: 24 }, (_, i) => `https://r${i}.example/hook`)
    for (const url of urls) {
      const request = await office.ask(hub, url)
      await hub.cancel(anAgent(), request.question.id)
    }
    await eventually(() => sender.open.length).toBe(16)
    gate.resolve(ARRIVED)
    await eventually(async () => {
      await office.everythingIsDue()
      clock.advance(3_000)
      return [...new Set(sender.urls)].sort()
    }).toEqual([...urls].sort())
  })

  test('is somebody else’s at once when the process stops in the middle', async () => {
    await using office = await openOffice(kind)
    const [stopping, heir] = [office.process(), office.process()]
    stopping.sender.answer = never
    stopping.callbacks.start()
    const request = await office.ask(stopping.hub, URL_A)
    await stopping.hub.cancel(anAgent(), request.question.id)
    await eventually(() => stopping.sender.open.length).toBe(1)
    const stopped = stopping.callbacks.stop()
    await eventually(() => stopping.clock.waiting).toBe(1)
    stopping.clock.advance(2_000)
    await stopped
    heir.callbacks.start()
    heir.clock.advance(3_000)
    await eventually(() => heir.sender.urls).toEqual([URL_A])
  })

  test('survives that keeping track of it fails', async () => {
    await using office = await openOffice(kind)
    const { hub, callbacks, clock, sender, metrics } = office.process()
    sender.answer = () => Promise.reject(new Error('a fault of the sender'))
    callbacks.start()
    const request = await office.ask(hub, URL_A)
    await hub.cancel(anAgent(), request.question.id)
    await eventually(() => metrics.calls).toContain('failed callback')
    sender.answer = async () => ARRIVED
    await office.everythingIsDue()
    clock.advance(3_000)
    await eventually(() => metrics.calls).toContain('called delivered')
  })
})
