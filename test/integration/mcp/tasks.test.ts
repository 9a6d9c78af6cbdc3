import { beforeAll, describe, expect, test } from 'vitest'
import type { McpClient, ModernClient, ToolResult } from '../../support/readers/mcp.ts'
import { serve } from '../../support/readers/server.ts'
import { NOWHERE } from '../../support/tenants.ts'
import { NOW, OPTIONS, Seat, viewOf } from './seat.ts'

/** A question as a task: its id is that of the request, and nothing is stored for it. */

const app = serve('pglite')

let seat: Seat
let stranger: Seat

beforeAll(async () => {
  seat = await Seat.open(app())
  stranger = await Seat.open(app())
  await seat.register('one')
}, 30_000)

const QUESTION = { message: 'Deploy?', options: OPTIONS }
const invalid = { code: -32_602 }

interface Task {
  readonly taskId: string
  readonly status: string
  readonly resultType?: string
  readonly result?: ToolResult
  readonly [field: string]: unknown
}

const idOf = ({ taskId }: Task) => ({ request_id: taskId })

describe('of 2025-11-25', () => {
  let client: McpClient
  beforeAll(async () => {
    client = await seat.client()
  })

  const create = async (name = 'request_human_input', input: object = QUESTION, task = {}) =>
    (await client.call(name, input, { task }).answer<{ task: Task }>()).task
  const get = (taskId: string, of = client) => of.request('tasks/get', { taskId }).answer<Task>()
  const result = (taskId: string) => client.request('tasks/result', { taskId })

  test.each(['request_human_input', 'hitl_request'])(
    '%s makes one that is asked for',
    async (name) => {
      const task = await create(name, QUESTION, { ttl: 60_000 })
      const view = await seat.view(idOf(task))
      expect(task).toEqual({
        ...{ taskId: view.request_id, status: 'working', statusMessage: expect.any(String) },
        ...{ createdAt: view.created_at, lastUpdatedAt: view.created_at },
        ...{ ttl: null, pollInterval: expect.any(Number) },
      })
      expect(await get(task.taskId)).toMatchObject(task)
    },
  )

  test('check_request_status follows a question as one', async () => {
    const { taskId } = await create()
    expect(await create('check_request_status', { request_id: taskId })).toMatchObject({ taskId })
  })

  test('who does not ask for one gets the result', async () => {
    const view = viewOf(await client.tool('request_human_input', { ...QUESTION, ...NOW }))
    expect(view.status).toBe('pending')
  })

  test.each([
    'list_pending_requests',
    'cancel_request',
    'register_callback',
    'request_approval',
    'check_approval',
  ])('%s makes none: -32601', async (name) => {
    await expect(client.call(name, {}, { task: {} }).answer()).rejects.toMatchObject({
      code: -32_601,
    })
  })

  test('what is wrong with the arguments is an error, and no task', async () => {
    const wrong = client.call('request_human_input', { message: '' }, { task: {} }).answer()
    await expect(wrong).rejects.toMatchObject({
      ...invalid,
      message: expect.stringContaining('/message'),
    })
  })

  test.each([
    ['Yes', 'approved'],
    ['No', 'rejected'],
  ])('its result is held until %s is pressed, and is that of the tool', async (option, outcome) => {
    const { taskId } = await create()
    const held = result(taskId)
    await held.head
    const decided = await seat.decide({ request_id: taskId }, { option })
    const answer = await held.answer<ToolResult>()
    expect(answer._meta).toEqual({ 'io.modelcontextprotocol/related-task': { taskId } })
    const { next_step, ...view } = viewOf(answer)
    expect(view).toEqual(decided)
    expect(view.outcome).toBe(outcome)
    const task = await get(taskId)
    expect(task).toMatchObject({ status: 'completed', lastUpdatedAt: decided.responded_at })
    // And again, as often as it is asked for.
    expect(await result(taskId).answer()).toEqual(answer)
  })

  test('an expired one is completed, and its result says that nobody answered', async () => {
    const { taskId } = await create('request_human_input', { ...QUESTION, timeout_seconds: 1 })
    const view = viewOf(await result(taskId).answer<ToolResult>())
    expect(view).toMatchObject({ outcome: 'expired', approved: false })
    expect((await get(taskId)).status).toBe('completed')
  })

  test('cancelling it withdraws the question; a settled one can not be cancelled', async () => {
    const { taskId } = await create()
    const cancel = () => client.request('tasks/cancel', { taskId }).answer<Task>()
    expect((await cancel()).status).toBe('cancelled')
    expect((await seat.view({ request_id: taskId })).outcome).toBe('canceled')
    const other = await create()
    await seat.decide(idOf(other), { option: 'Yes' })
    await expect(client.request('tasks/cancel', other).answer()).rejects.toMatchObject(invalid)
    expect((await seat.view(idOf(other))).outcome).toBe('approved')
  })

  test('those that are open are listed', async () => {
    const other = await Seat.open(app())
    await using lister = await other.client()
    const { task } = await lister
      .call('request_human_input', QUESTION, { task: {} })
      .answer<{ task: Task }>()
    const { tasks } = await lister.request('tasks/list').answer<{ tasks: Task[] }>()
    expect(tasks).toEqual([task])
  })

  test('those of another tenant are not there, as those that nobody has', async () => {
    const { taskId } = await create()
    await using theirs = await stranger.client()
    for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
      const refusals = []
      for (const id of [taskId, NOWHERE, 'none']) {
        const answer = theirs.request(method, { taskId: id }).answer()
        refusals.push(
          await answer.then(
            () => ({ code: 0, message: 'an answer' }),
            ({ code, message }) => ({ code, message }),
          ),
        )
      }
      expect(refusals).toEqual(
        Array(3).fill({ ...invalid, message: expect.stringContaining('no task') }),
      )
      expect(new Set(refusals.map(({ message }) => message)).size).toBe(1)
    }
    expect((await theirs.request('tasks/list').answer())['tasks']).toEqual([])
    expect((await get(taskId)).status).toBe('working')
  })
})

describe('of 2026-07-28', () => {
  const TASKS = 'io.modelcontextprotocol/tasks'
  const capabilities = { extensions: { [TASKS]: {} } }
  let client: ModernClient
  beforeAll(() => {
    client = seat.modern({ capabilities })
  })

  const create = (input: object = QUESTION) =>
    client.call('request_human_input', input).answer<Task>()
  const get = (taskId: string) => client.request('tasks/get', { taskId }).answer<Task>()

  test('a client that declares them gets one instead of waiting', async () => {
    const task = await create()
    const view = await seat.view(idOf(task))
    expect(task).toMatchObject({
      ...{ resultType: 'task', taskId: view.request_id, status: 'working' },
      ...{ createdAt: view.created_at, lastUpdatedAt: view.created_at },
      ...{ ttlMs: null, pollIntervalMs: expect.any(Number) },
    })
    expect(task.result).toBeUndefined()
    const followed = client.call('check_request_status', { ...idOf(task), wait_seconds: 9 })
    expect(await followed.answer()).toMatchObject({ resultType: 'task', taskId: task.taskId })
  })

  test('a client that does not, never: it waits, and gets the result', async () => {
    const plain = seat.modern()
    const call = plain.call('request_human_input', { ...QUESTION, message: 'Plain?' })
    await expect.poll(async () => (await seat.pending()).at(-1)?.message).toBe('Plain?')
    await seat.decide((await seat.pending()).at(-1) as { request_id: string }, { option: 'Yes' })
    expect(await call.answer()).toMatchObject({
      resultType: 'complete',
      structuredContent: { approved: true },
    })
  })

  test('who does not want to wait gets the result', async () => {
    const result = await client.tool('request_human_input', { ...QUESTION, ...NOW })
    expect(viewOf(result).status).toBe('pending')
    const checked = await client.tool('check_request_status', {
      request_id: viewOf(result).request_id,
    })
    expect(viewOf(checked).status).toBe('pending')
  })

  test('its result comes with it when it is completed', async () => {
    const { taskId } = await create()
    expect(await get(taskId)).toMatchObject({ resultType: 'complete', status: 'working' })
    const decided = await seat.decide({ request_id: taskId }, { option: 'No' })
    const { status, result } = await get(taskId)
    expect(status).toBe('completed')
    const { next_step, ...view } = viewOf(result as ToolResult)
    expect(view).toEqual(decided)
  })

  test('cancelling it withdraws the question, also twice; one that is over stays as it is', async () => {
    const { taskId } = await create()
    const cancel = (id: string) => client.request('tasks/cancel', { taskId: id }).answer()
    for (let n = 0; n < 2; n++)
      expect(await cancel(taskId)).toMatchObject({ resultType: 'complete' })
    expect(await get(taskId)).toMatchObject({ status: 'cancelled' })
    const other = await create()
    await seat.decide(idOf(other), { option: 'Yes' })
    expect(await cancel(other.taskId)).toMatchObject({ resultType: 'complete' })
    expect((await seat.view(idOf(other))).outcome).toBe('approved')
  })

  test('an update is taken, and answers nothing', async () => {
    const { taskId } = await create()
    const inputResponses = { answer: { action: 'accept', content: { answer: 'Yes' } } }
    const update = client.request('tasks/update', { taskId, inputResponses })
    expect(await update.answer()).toMatchObject({ resultType: 'complete' })
    expect((await get(taskId)).status).toBe('working')
  })

  test.each(['tasks/get', 'tasks/update', 'tasks/cancel'])(
    '%s is -32021 for who does not declare them, and -32602 for what is not there',
    async (method) => {
      const { taskId } = await create()
      const undeclared = seat.modern().request(method, { taskId, inputResponses: {} })
      await expect(undeclared.answer()).rejects.toMatchObject({
        code: -32_021,
        data: { requiredCapabilities: { extensions: { [TASKS]: {} } } },
      })
      const theirs = stranger.modern({ capabilities })
      for (const id of [taskId, NOWHERE, 'none']) {
        const foreign = theirs.request(method, { taskId: id, inputResponses: {} }).answer()
        await expect(foreign).rejects.toMatchObject(invalid)
      }
      expect((await get(taskId)).status).toBe('working')
    },
  )
})
