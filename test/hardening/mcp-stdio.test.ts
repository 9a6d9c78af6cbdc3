import { expect, test } from 'vitest'
import { INITIALIZE } from '../support/mcp.ts'
import { Command } from '../support/process.ts'
import { SAME, twoTenants } from '../support/tenants.ts'

/** A71, over standard input: whatever comes in, what goes out is JSON-RPC, and the next line is served. */

const here = twoTenants()

const message = (fields: object): string => JSON.stringify({ jsonrpc: '2.0', ...fields })
const call = (id: unknown, name: unknown, input: unknown): string =>
  message({ id, method: 'tools/call', params: { name, arguments: input } })

const NOISE = [
  ...['', ' ', '{', 'nul', '\u0000', 'tools/list', '\ufeff{}', '{"jsonrpc":"2.0"', '"\u2028"'],
  ...['1', 'null', '[]', '[1]', '[[]]', '[{}]', '{}', '{"id":1}', '['.repeat(5_000)],
  ...[null, {}, [], true, 1.5].map((id) => message({ id, method: 'tools/list' })),
  ...[5, [], null].map((method) => message({ id: 'method', method })),
  message({ id: 'unasked', result: { action: 'accept' } }),
  message({ id: 'none', method: 'nothing/at/all' }),
  ...['nothing', 5, null].map((name) => call('tool', name, {})),
  ...['x', [], { message: 5 }].map((input) => call('input', 'request_human_input', input)),
  call('large', 'request_human_input', { ...SAME, message: 'x'.repeat(2 * 1024 * 1024) }),
  ...Array.from({ length: 1_000 }, (_, requestId) =>
    message({ method: 'notifications/cancelled', params: { requestId } }),
  ),
]

test('A71: a bridge that hears rubbish says JSON-RPC alone, and serves what comes after it', () =>
  here().server.attack(async () => {
    const { app, ours } = here()
    const env = { LOOPGATE_API_KEY: ours.key.key }
    await using bridge = new Command('node', ['src/cli.ts', 'mcp', '--url', app.url], env)
    const lines = [
      message({ id: 'first', method: 'initialize', params: INITIALIZE }),
      message({ method: 'notifications/initialized' }),
      ...NOISE,
      message({ id: 'last', method: 'tools/list' }),
    ]
    bridge.write(`${lines.join('\n')}\n`)
    await bridge.said(/"id":"last"/)
    const { code, stdout } = await bridge.exit()
    expect(code).toBe(0)
    const said = stdout
      .trimEnd()
      .split('\n')
      .flatMap((line) => JSON.parse(line))
    expect(said.filter(({ jsonrpc }) => jsonrpc !== '2.0')).toEqual([])
    const answerTo = (id: string) => said.filter((one) => one.id === id)
    expect(answerTo('last')).toMatchObject([{ result: { tools: expect.any(Array) } }])
    expect(answerTo('none')).toMatchObject([{ error: { code: -32_601 } }])
    expect(answerTo('large')).toHaveLength(1)
    expect(JSON.stringify(answerTo('large'))).not.toContain('request_id')
    expect(JSON.stringify(said)).not.toContain(ours.key.key)
  }))
