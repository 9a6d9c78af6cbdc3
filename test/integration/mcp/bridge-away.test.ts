import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeKey, openAccount } from '../../support/accounts.ts'
import { startTestApp, type TestApp } from '../../support/app.ts'
import { BridgeProcess, type RpcMessage } from '../../support/bridge.ts'
import { freePort } from '../../support/free-port.ts'

const QUESTION = { message: 'Deploy v2.1.0?', options: ['Approve', 'Reject'] }

const _meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
}

const textOf = ({ result }: RpcMessage): string => {
  const [block] = (result?.['content'] ?? []) as readonly { readonly text: string }[]
  return block?.text ?? ''
}

describe('loopgate mcp without its server', () => {
  test('knows the tools, says in a call how to start it, and goes on when it is there', async () => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    await using bridge = new BridgeProcess(['--url', url])
    const own = async () => [
      (await bridge.initialize()).result,
      (await bridge.ask('tools/list')).result,
      (await bridge.ask('server/discover', { _meta })).result,
    ]
    const instead = await own()
    expect(await bridge.ask('ping')).toMatchObject({ result: {} })
    const asked = await bridge.call('request_human_input', QUESTION)
    expect(asked.result?.isError).toBe(true)
    expect(textOf(asked)).toContain(`${url}/mcp`)
    expect(textOf(asked)).toContain('npm start')

    await using _app = await startTestApp({ SERVER_PORT: String(port) })
    const after = await bridge.call('request_human_input', { ...QUESTION, wait_seconds: 0 })
    expect(after.result).toMatchObject({ structuredContent: { status: 'pending' } })
    // What was said in the server's place is what it says itself, but for how long it may be kept.
    const [introduced, listed, discovered] = instead
    const { serverInfo, ...words } = introduced ?? {}
    const { supportedVersions, capabilities, instructions } = discovered ?? {}
    const discovery = { supportedVersions, capabilities, instructions }
    expect(serverInfo).toMatchObject({ name: 'loopgate' })
    expect(await own()).toMatchObject([words, listed, discovery])
  }, 30_000)

  test('speaks the words of 2026-07-28 to a client that does', async () => {
    await using bridge = new BridgeProcess(['--url', `http://127.0.0.1:${await freePort()}`])
    const complete = { resultType: 'complete' }
    const unkept = { ...complete, ttlMs: 0, cacheScope: 'private' }
    expect(await bridge.ask('server/discover', { _meta })).toMatchObject({ result: unkept })
    expect(await bridge.ask('tools/list', { _meta })).toMatchObject({ result: unkept })
    const params = { name: 'request_human_input', arguments: QUESTION, _meta }
    expect(await bridge.ask('tools/call', params)).toMatchObject({
      result: { ...complete, isError: true },
    })
  })

  test('denies what a headless agent wants to use', async () => {
    await using bridge = new BridgeProcess(['--url', `http://127.0.0.1:${await freePort()}`])
    const answer = await bridge.call('permission_prompt', { tool_name: 'Bash', input: {} })
    expect(JSON.parse(textOf(answer))).toMatchObject({ behavior: 'deny' })
  })
})

describe('loopgate mcp at the address of something else', () => {
  test.each([
    ['a page', 200, { 'content-type': 'text/html' }],
    ['nothing', 404, {}],
    ['another place', 308, { location: 'https://elsewhere.example/mcp' }],
  ])('that answers with %s is told, with where to look', async (_, status, headers) => {
    const other = createServer((_request, response) => {
      response.writeHead(status, headers).end('<html>')
    })
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await using bridge = new BridgeProcess(['--url', `http://127.0.0.1:${port}`])
    const { error } = await bridge.initialize()
    expect(error?.message).toContain('LOOPGATE_URL')
    const asked = await bridge.call('request_human_input', QUESTION)
    expect(asked.error?.message).toContain(`http://127.0.0.1:${port}/mcp`)
    other.close()
  })
})

describe('loopgate mcp with a key', () => {
  let app: TestApp

  beforeAll(async () => {
    app = await startTestApp({ AUTH: 'required', REGISTRATION: 'open' })
  })
  afterAll(() => app[Symbol.asyncDispose]())

  test.each<[string, Record<string, string>]>([
    ['missing', {}],
    ['wrong', { LOOPGATE_API_KEY: 'wrong' }],
  ])('that is %s says what to do about it', async (_, env) => {
    await using bridge = new BridgeProcess(['--url', app.url], env)
    const { error } = await bridge.initialize()
    expect(error?.message).toContain('LOOPGATE_API_KEY')
    const asked = await bridge.call('request_human_input', QUESTION)
    expect(asked.result?.isError).toBe(true)
    expect(textOf(asked)).toContain('LOOPGATE_API_KEY')
  })

  test('that is right asks for the tenant of the key', async () => {
    const account = await openAccount(app)
    const { key, headers } = await makeKey(app, account)
    await using bridge = new BridgeProcess(['--url', app.url], { LOOPGATE_API_KEY: key })
    await bridge.initialize()
    await bridge.call('request_human_input', { ...QUESTION, wait_seconds: 0 })
    const { body } = await app.get<{ count: number }>('/hitl/pending', headers)
    expect(body.count).toBe(1)
  })

  test.each([['ftp://x'], ['http://user:secret@127.0.0.1'], ['gate']])(
    'or address that is none (%s) exits 2 with a line on standard error',
    async (url) => {
      await using bridge = new BridgeProcess(['--url', url])
      expect(await bridge.exit()).toBe(2)
      expect(bridge.log).toMatch(/^loopgate mcp: --url must be an http or https address/)
      expect(bridge.log).not.toContain('secret')
    },
  )
})
