import * as fc from 'fast-check'
import { calling, INITIALIZE, modernMeta } from '../../support/mcp.ts'
import { headerText, jsonText, mostly, mutated, oddText, oddValue } from './inputs.ts'
import type { Place } from './place.ts'

/** One call, as it goes over the wire. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

const UNKNOWN = '00000000-0000-4000-8000-000000000000'

/** A valid body of every route that takes one. */
const bodiesOf = ({
  question,
  harmless,
  asking,
}: Place): readonly (readonly [string, object])[] => {
  const { request_id } = harmless
  const { session_id, client_id } = asking
  const asked = {
    ...{ session_id, client_id, message: 'Deploy v2 to production?', request_type: 'choice' },
    options: [{ label: 'Yes', effect: 'approve' }, 'No'],
    ...{ timeout_seconds: 600, approval_ttl_seconds: 60, metadata: { region: 'eu', n: [1, 2] } },
    ...{ callback_url: 'https://hooks.example.com/a', idempotency_key: 'key-1' },
  }
  const registered = { session_id: 'fuzzed', client_id, telegram_id: -1001, approvers: [1, 2] }
  return [
    ['/hitl/request', asked],
    ['/hitl/request?wait=0', { session_id, client_id, message: 'Ready?' }],
    ['/hitl/register', registered],
    ['/sessions/register', { session_id: 'fuzzed 2', client_id }],
    ['/hitl/deactivate', { session_id: 'fuzzed 2' }],
    ['/hitl/cancel', { request_id: UNKNOWN }],
    ['/hitl/consume', { request_id, digest: `sha-256:${'0'.repeat(64)}` }],
    [`/api/requests/${question.request_id}/decision`, { option: 'Approve', comment: 'fine' }],
    [`/api/requests/${request_id}/decision`, { option: 'Hold', comment: 'later' }],
    [`/api/requests/${request_id}/decision`, { response: 'yes' }],
    [`/api/requests/${UNKNOWN}/callbacks/resend`, {}],
    ['/api/auth/link', { code: 'x'.repeat(22) }],
    ['/api/auth/login', { username: 'ann', password: 'a wrong password' }],
    ['/api/user/apikeys', { label: 'l', expires_at: '2099-01-01T00:00:00Z', may_register: false }],
    ['/api/tickets', {}],
    ...mcpBodiesOf(request_id).map((body) => ['/mcp', body] as const),
  ]
}

/** Of MCP in each of its forms; none of them waits for anybody. */
const mcpBodiesOf = (request_id: string): readonly object[] => [
  { jsonrpc: '2.0', id: 1, method: 'initialize', params: INITIALIZE },
  { jsonrpc: '2.0', id: 2, method: 'tools/list', params: { _meta: modernMeta() } },
  { id: 3, method: 'tools/call', params: calling('check_request_status', { request_id }) },
  { id: 4, method: 'tools/call', params: calling('cancel_request', { request_id: UNKNOWN }) },
  { id: 5, method: 'tools/call', params: calling('list_pending_requests', {}) },
]

/** The agent may ask about everything and decides nothing; a person decides what does no harm. */
function credentialsOf(place: Place, path: string): Record<string, string> {
  const isPersons = path.startsWith('/api/') && !path.includes(place.question.request_id)
  return isPersons ? { authorization: `Bearer ${place.token}` } : { 'x-api-key': place.key }
}

/** Whoever is counted is somebody else each time. */
const from = fc.ipV4().map((address) => ({ 'x-forwarded-for': address }))

export function bodies(place: Place): fc.Arbitrary<Call> {
  const routes = bodiesOf(place).map(([path, valid]) =>
    fc.tuple(jsonText(valid), from).map(([body, address]) => ({
      method: 'POST',
      path,
      headers: {
        'content-type': 'application/json',
        ...credentialsOf(place, path),
        ...address,
      },
      body,
    })),
  )
  return fc.oneof(...routes)
}

/** A value in an address: escaped, or as bytes that no encoder would write. */
const inAddress = fc.oneof(
  { weight: 5, arbitrary: oddText.map((text) => encodeURIComponent(text.toWellFormed())) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('%FF', '%', '%E0%A4', '%00', '+', '&', '%2e%2e%2f', '#'),
  },
)

/** Waiting is not what is tried here: whatever reads as a time is short. */
const wait = inAddress.map((text) => (/^\d/.test(text) && Number(text) !== 0 ? '0.01' : text))

const queriesOf = ({ question, harmless }: Place): readonly (readonly [string, object])[] => {
  const { session_id, request_id, cursor } = harmless
  return [
    ['/hitl/poll', { session_id, since: cursor }],
    ['/hitl/poll', { request_id }],
    ['/hitl/status', { session_id }],
    ['/hitl/pending', { session_id }],
    [`/api/requests/${question.request_id}/callbacks`, {}],
    ['/console', { code: 'x'.repeat(22) }],
    ['/health', {}],
    ['/.well-known/webhook-key', {}],
    ['/.well-known/jwks.json', {}],
  ]
}

export function queries(place: Place): fc.Arbitrary<Call> {
  const routes = queriesOf(place).map(([path, valid]) => {
    const pairs = Object.entries(valid).map(([name, value]) =>
      mostly(
        `${name}=${value}`,
        inAddress.map((odd) => `${name}=${odd}`),
      ),
    )
    const more = fc.tuple(fc.constantFrom('wait', 'since', 'session_id', 'ticket', 'x'), inAddress)
    return fc
      .record({
        pairs: fc.tuple(...pairs),
        more: fc.array(more, { maxLength: 2 }),
        wait: fc.option(wait, { nil: undefined }),
        tail: mostly(
          '',
          inAddress.map((odd) => `/${odd}`),
        ),
      })
      .map(({ pairs: known, more: odd, wait: time, tail }) => {
        const query = [
          ...known,
          ...odd.filter(([name]) => name !== 'wait').map((pair) => pair.join('=')),
          ...(time === undefined ? [] : [`wait=${time}`]),
        ]
        return {
          method: 'GET',
          path: `${path}${tail}?${query.join('&')}`,
          headers: credentialsOf(place, path),
        }
      })
  })
  return fc.oneof(...routes)
}

/** `wait=` in Prefer holds the answer back, which is not what is tried here. */
const prefer = headerText.map((text) => text.replace(/wait\s*=\s*"?\d+/gi, 'wait=0'))

export function headers(place: Place): fc.Arbitrary<Call> {
  const { session_id, client_id } = place.asking
  const own = new URL(place.url).host
  const odd = fc.record(
    {
      'idempotency-key': headerText,
      prefer: fc.oneof(prefer, fc.constantFrom('wait=0', 'respond-async, wait=00', 'wait=-1')),
      authorization: fc.oneof(
        headerText,
        headerText.map((text) => `Bearer ${text}`),
        fc.constantFrom(`Bearer ${place.key}`, `bearer  ${place.key}`, `Basic ${place.key}`),
      ),
      'x-api-key': mostly(place.key, headerText),
      origin: fc.oneof(
        headerText,
        fc.constantFrom('null', `http://${own}`, 'https://evil.example'),
      ),
      host: mostly(own, headerText),
      'content-type': mostly('application/json', headerText),
      'x-forwarded-for': fc.oneof(headerText, fc.ipV6(), fc.ipV4()),
      'x-forwarded-host': headerText,
      forwarded: headerText,
      'last-event-id': headerText,
      accept: headerText,
      'content-encoding': fc.constantFrom('gzip', 'identity', 'x'),
      expect: fc.constantFrom('100-continue', 'x'),
      upgrade: fc.constantFrom('websocket', 'h2c', 'x'),
    },
    { requiredKeys: [] },
  )
  const route = fc.constantFrom(
    ['POST', '/hitl/request'],
    ['POST', '/hitl/register'],
    ['GET', '/hitl/pending'],
    ['GET', '/hitl/poll?session_id=fuzzed'],
    ['POST', `/api/requests/${place.question.request_id}/decision`],
    ['OPTIONS', '/hitl/request'],
    ['DELETE', '/api/user/apikeys/x'],
    ['GET', '/metrics'],
    ['GET', '/ws'],
    ['GET', '/nothing'],
  )
  const body = JSON.stringify({ session_id, client_id, message: 'Ready?', option: 'Approve' })
  return fc.tuple(route, odd).map(([[method = '', path = ''], given]) => {
    const present = Object.entries(given).filter(([, value]) => value !== undefined)
    return {
      ...{ method, path, headers: Object.fromEntries(present) as Record<string, string> },
      ...(method === 'POST' && { body }),
    }
  })
}

export function cursors(place: Place): fc.Arbitrary<Call> {
  const { session_id, request_id, cursor } = place.harmless
  const cursorText = fc.oneof(
    oddText,
    fc.constantFrom(cursor, 'earliest', '-1', cursor.replace(/\d+$/, '9'.repeat(30))),
    fc.tuple(fc.string({ maxLength: 12 }), fc.bigInt()).map(([epoch, seq]) => `${epoch}-${seq}`),
    fc.bigInt().map((seq) => cursor.replace(/\d+$/, String(seq))),
  )
  const target = fc.constantFrom(`session_id=${session_id}`, `request_id=${request_id}`)
  const name = fc.constantFrom('since', 'last_event_id', 'lastEventId', 'ticket', 'header')
  return fc.tuple(target, name, cursorText).map(([named, where, text]) => {
    const inHeader = where === 'header'
    const since = encodeURIComponent(text.toWellFormed())
    const lastEventId = text.replace(/[^\t\x20-\x7e]/g, '?').slice(0, 4_000)
    return {
      method: 'GET',
      path: `/hitl/stream?${named}${inHeader ? '' : `&${where}=${since}`}`,
      headers: { 'x-api-key': place.key, ...(inHeader && { 'last-event-id': lastEventId }) },
    }
  })
}

/** Updates of Telegram: presses, replies, commands and what else there is. */
function updatesOf({ press }: Place): object[] {
  const { from: user, message } = press
  const chat = message?.chat
  // What is said of this one moves the group of no session.
  const another = { id: -1_001, type: 'group', title: 'Others' }
  const said = { message_id: 5, from: user, chat, date: 1_700_000_000, text: '/start abc' }
  return [
    { update_id: 900_000_001, callback_query: press },
    { update_id: 900_000_002, message: { ...said, text: 'yes', reply_to_message: message } },
    { update_id: 900_000_003, message: { ...said, entities: [entity(0, 6)] } },
    { update_id: 900_000_004, message: { ...said, text: '/pending', entities: [entity(0, 8)] } },
    { update_id: 900_000_005, edited_message: { ...said, reply_to_message: message } },
    { update_id: 900_000_006, message: { ...said, chat: another, migrate_to_chat_id: -1_002 } },
    { update_id: 900_000_007, channel_post: said },
  ]
}

const entity = (offset: number, length: number) => ({ type: 'bot_command', offset, length })

export function updates(place: Place): fc.Arbitrary<Call> {
  const known = updatesOf(place).map((update) => jsonText(update))
  const body = fc.oneof(
    ...known,
    mutated({ update_id: 1 }).map((v) => JSON.stringify(v) ?? ''),
  )
  const secret = mostly(place.webhookSecret, headerText)
  return fc.tuple(body, secret).map(([text, given]) => ({
    method: 'POST',
    path: '/telegram/webhook',
    headers: { 'content-type': 'application/json', 'x-telegram-bot-api-secret-token': given },
    body: text,
  }))
}

/** Names that are no route, and methods that no route has. */
export const paths = (place: Place): fc.Arbitrary<Call> =>
  fc
    .record({
      method: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE'),
      parts: fc.array(
        fc.oneof(fc.constantFrom('hitl', 'api', 'requests', 'console', 'request'), inAddress),
        { maxLength: 5 },
      ),
      body: oddValue,
    })
    .map(({ method, parts, body }) => ({
      ...{ method, path: `/${parts.join('/').replaceAll('#', '').slice(0, 4_000)}` },
      headers: { 'x-api-key': place.key, 'content-type': 'application/json' },
      ...(['POST', 'PUT', 'PATCH'].includes(method) && { body: JSON.stringify(body) }),
    }))
