import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { bearer, PASSWORD } from '../../support/accounts.ts'
import { openTestDatabase } from '../../support/database.ts'
import { npmStart } from '../../support/process.ts'
import { ask } from '../../support/readers/http.ts'
import { openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const JWT_SECRET = randomBytes(24).toString('hex')

interface Body {
  readonly [name: string]: string
}

/** A client that remembers everything it was answered. */
class Client {
  readonly url: string
  readonly answers: string[] = []

  constructor(url: string) {
    this.url = url
  }

  async call(method: string, path: string, headers: Body = {}, body?: object): Promise<Body> {
    const answer = await ask(this.url + path, {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    this.answers.push(answer.text)
    return answer.text.startsWith('{') ? (JSON.parse(answer.text) as Body) : {}
  }
}

test('A62: no secret of a whole run is in its logs, in /metrics, or in an error', async () => {
  await using at = await openTestDatabase('postgres')
  const env = { AUTH: 'required', REGISTRATION: 'open', LOG_LEVEL: 'trace', JWT_SECRET }
  await using server = npmStart({ ...env, DATABASE_URL: at.url ?? '' })
  const [, url = ''] = await server.said(/listening on (http:\S+)/)
  const client = new Client(url)
  const post = (path: string, body: object, headers: Body = {}) =>
    client.call('POST', path, headers, body)
  const get = (path: string, headers: Body = {}) => client.call('GET', path, headers)

  const account = { username: 'ann', password: PASSWORD }
  await post('/api/auth/register', account)
  await post('/api/auth/login', { ...account, password: `${PASSWORD}!` })
  const { token = '' } = await post('/api/auth/login', account)
  const { raw_key: key = '', id } = await post('/api/user/apikeys', {}, bearer(token))
  const session = { session_id: 's', client_id: 'c' }
  const { webhook_secret = '' } = await post('/hitl/register', session, bearer(key))
  const { ticket = '' } = await post('/api/tickets', {}, bearer(key))
  const { ticket: spent = '' } = await post('/api/tickets', {}, { 'x-api-key': key })
  const wrong = [`lk_pub_${randomBytes(32).toString('hex')}`, `${token}x`, 'Basic YW5uOnNlY3JldA==']
  const secrets = [token, key, webhook_secret, ticket, spent, PASSWORD, JWT_SECRET, ...wrong]
  client.answers.length = 0

  // Every way in, well and wrongly, and with what belongs into no address.
  for (const credential of [key, token, ...wrong]) {
    await get('/hitl/pending', bearer(credential))
    await get('/hitl/pending', { 'x-api-key': credential })
    await get('/hitl/pending', { authorization: credential })
    for (const name of ['ticket', 'token', 'code']) {
      await get(`/hitl/stream?session_id=nobody&${name}=${encodeURIComponent(credential)}`)
      await get(`/%zz?${name}=${encodeURIComponent(credential)}`)
      await get(`/socket.io/?EIO=4&transport=x&${name}=${encodeURIComponent(credential)}`)
    }
    await post('/api/auth/link', { code: credential })
    await post('/hitl/request', { ...session, message: 7, callback_url: credential }, bearer(key))
    await client.call(
      'DELETE',
      `/api/user/apikeys/${encodeURIComponent(credential)}`,
      bearer(token),
    )
    const joined = openSocketIo(url, { auth: { token: credential } })
    await joined.then(
      (socket) => socket.disconnect(),
      (error: Error) => client.answers.push(error.message),
    )
  }
  await using socket = await FrameSocket.open(url, { query: `?session_id=s&ticket=${ticket}` })
  await socket.first('subscribed')
  socket.send(`{"type":"request","token":"${token}"`)
  socket.send({ type: 'subscribe', session_id: key })
  await get(`/hitl/stream?session_id=nobody&ticket=${spent}`)
  await client.call('DELETE', `/api/user/apikeys/${id}`, bearer(token))
  expect(await socket.closed).toMatchObject({ code: 3500 })
  await get('/metrics')

  server.signal('SIGTERM')
  const { code, stdout, stderr } = await server.exit()
  expect(code).toBe(0)
  // It did say something, and the answers are those that were looked for.
  expect(stderr).toContain('"level"')
  expect(client.answers.join('\n')).toContain('loopgate_')
  for (const [where, text] of Object.entries({
    stdout,
    stderr,
    answers: client.answers.join('\n'),
  })) {
    for (const [i, secret] of secrets.entries()) {
      expect([where, i, text.includes(secret)]).toEqual([where, i, false])
    }
  }
}, 60_000)
