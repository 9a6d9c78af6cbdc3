import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { BridgeProcess } from '../support/bridge.ts'
import { eventually } from '../support/eventually.ts'
import { Command } from '../support/process.ts'

const LISTENING = /listening on (http:\S+)/
const CONSOLE = /\/console\?code=([\w-]+)/

test('a call that waits when the server is killed has the answer that the next server is given, and asks once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'loopgate-e2e-'))
  const start = (port: string) =>
    new Command('node', ['src/main.ts'], { SERVER_PORT: port, LOOPGATE_DATA_DIR: directory })
  try {
    await using first = start('0')
    const [, url = ''] = await first.said(LISTENING)
    const pending = async () => {
      const response = await fetch(`${url}/hitl/pending`).catch(() => undefined)
      const body = (await response?.json()) as
        | { pending_requests: { request_id: string }[] }
        | undefined
      return body?.pending_requests ?? []
    }
    await using bridge = new BridgeProcess([], { LOOPGATE_URL: url })
    await bridge.initialize()
    const id = bridge.send('tools/call', {
      name: 'request_human_input',
      arguments: { message: 'Deploy?', options: ['Approve', 'Reject'] },
      _meta: { progressToken: 'waiting' },
    })
    await eventually(async () => (await pending()).length).toBe(1)
    const [asked] = await pending()
    first.signal('SIGKILL')
    await first.exit()

    await using second = start(new URL(url).port)
    const [, code] = await second.said(CONSOLE)
    const post = (path: string, body: object, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      })
    const { token } = (await (await post('/api/auth/link', { code })).json()) as { token: string }
    // Waiting again, and for the same question.
    const waiting = () => bridge.notifications('notifications/progress').length
    await eventually(waiting).toBeGreaterThan(1)
    expect(await pending()).toEqual([asked])
    await post(
      `/api/requests/${asked?.request_id}/decision`,
      { option: 'Approve' },
      { authorization: `Bearer ${token}` },
    )
    expect((await bridge.answer(id)).result).toMatchObject({
      structuredContent: { request_id: asked?.request_id, outcome: 'approved' },
    })
    const told = bridge.notifications('notifications/progress')
    const values = told.map(({ params }) => Number(params?.['progress']))
    expect(values).toEqual([...new Set(values)].sort((one, other) => one - other))
  } finally {
    rmSync(directory, { recursive: true })
  }
})
