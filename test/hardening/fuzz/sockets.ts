import * as fc from 'fast-check'
import { WebSocket } from 'ws'
import { Inbox } from '../../support/readers/watch.ts'
import { requireDocumentedCode } from './answers.ts'
import { jsonText, mostly, mutated, oddText, oddValue } from './inputs.ts'
import type { Place } from './place.ts'

/** What is said on a socket, in the order of saying. */
export type Sayings = readonly (string | Uint8Array)[]

const asked = ({ asking: { session_id, client_id } }: Place) => ({
  ...{ session_id, client_id, message: 'Deploy?', options: ['Yes', 'No'] },
  ...{ timeout_seconds: 600, metadata: { n: 1 }, idempotency_key: 'key-2' },
})

export function frames(place: Place): fc.Arbitrary<Sayings> {
  const { session_id, request_id, cursor } = place.harmless
  const valid = [
    { type: 'subscribe', session_id, since: cursor },
    { type: 'subscribe', request_id, since: 'earliest' },
    { type: 'unsubscribe', session_id },
    { type: 'request', id: 'c1', body: asked(place) },
    { type: 'cancel', id: 2, request_id: 'x' },
    { type: 'decide', request_id: place.question.request_id, option: 'Approve' },
  ]
  const text = fc.oneof(...valid.map((frame) => jsonText(frame)))
  const bytes = fc.uint8Array({ maxLength: 60 })
  return fc.array(fc.oneof({ weight: 9, arbitrary: text }, { weight: 1, arbitrary: bytes }), {
    minLength: 1,
    maxLength: 12,
  })
}

/** Closings that are the client's fault: RFC 6455, section 7.4.1. */
const THEIR_FAULT: readonly number[] = [1002, 1003, 1005, 1007, 1009]

interface Spoken extends Disposable {
  readonly socket: WebSocket
  readonly heard: Inbox<string>
  /** The code it was closed with, if it was. */
  readonly closed: () => number | undefined
}

async function speakTo(url: string, path: string, headers: object): Promise<Spoken> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, {
    headers: { ...headers },
    perMessageDeflate: false,
  })
  const heard = new Inbox<string>()
  let code: number | undefined
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.on('open', resolve)
  socket.on('error', reject)
  socket.on('message', (data) => heard.push(data.toString()))
  socket.on('close', (given) => {
    code = given
    heard.push('')
  })
  await promise
  return { socket, heard, closed: () => code, [Symbol.dispose]: () => socket.terminate() }
}

interface Frame {
  readonly type: string
  readonly code?: unknown
}

const ANSWERS: readonly string[] = ['subscribed', 'unsubscribed', 'ack', 'error']

/** Says it on a WebSocket, and has an answer to every frame. */
export async function sayFrames(place: Place, sayings: Sayings): Promise<void> {
  using spoken = await speakTo(place.url, '/ws', { 'x-api-key': place.key })
  for (const saying of sayings) spoken.socket.send(saying)
  let answers = 0
  for (let next = 0; answers < sayings.length; next++) {
    const text = (await spoken.heard.take(next + 1))[next] ?? ''
    if (text === '') return requireTheirFault(spoken.closed())
    if (isAnswer(text)) answers++
  }
}

function requireTheirFault(code = 0): void {
  if (!THEIR_FAULT.includes(code)) throw new Error(`it was closed with ${code}`)
}

/** @throws for what no server says. */
function isAnswer(text: string): boolean {
  const frame = JSON.parse(text) as Frame
  if (frame.type === 'error') requireDocumentedCode(frame)
  if (ANSWERS.includes(frame.type)) return true
  if (frame.type === 'hello' || frame.type.startsWith('request.')) return false
  throw new Error(`this is no frame of a server: ${text.slice(0, 500)}`)
}

/** What may stand where a frame begins: RFC 6455, section 5.2. */
export const frameBytes: fc.Arbitrary<Sayings> = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc
      .tuple(
        fc.constantFrom(0x00, 0x01, 0x81, 0x82, 0x83, 0x88, 0x89, 0x8a, 0xc1, 0xf1),
        fc.constantFrom(0x80, 0x81, 0x01, 0xfd, 0xfe, 0xff),
        fc.uint8Array({ maxLength: 30 }),
      )
      .map(([first, length, rest]) => Uint8Array.of(first, length, ...rest)),
  ),
  { minLength: 1, maxLength: 4 },
)

/** Writes it below the frames, and another socket is served as ever. */
export async function writeBelow(place: Place, sayings: Sayings): Promise<void> {
  using spoken = await speakTo(place.url, '/ws', { 'x-api-key': place.key })
  const { _socket: tcp } = spoken.socket as unknown as { _socket: NodeJS.WritableStream }
  for (const saying of sayings) tcp.write(saying)
  await sayFrames(place, ['{"type":"cancel","request_id":"nobody"}'])
}

/** Packets of Socket.IO below Engine.IO's own `4`: an event with its acknowledgement's id, or anything. */
export function packets(place: Place): fc.Arbitrary<Sayings> {
  const { session_id, request_id, cursor } = place.harmless
  const named: readonly (readonly [string, object])[] = [
    ['subscribe', { session_id, since: cursor }],
    ['subscribe', { request_id }],
    ['unsubscribe', { session_id }],
    ['request', asked(place)],
    ['cancel', { request_id: 'x' }],
  ]
  const event = fc.oneof(
    ...named.map(([name, body]) => mutated(body).map((value) => JSON.stringify([name, value]))),
    fc
      .tuple(fc.constantFrom('request', 'cancel'), fc.array(oddValue, { maxLength: 3 }))
      .map(([name, args]) => JSON.stringify([name, ...args])),
  )
  return fc.array(
    event.map((json) => `42{id}${json}`),
    { minLength: 1, maxLength: 12 },
  )
}

/** Packets that nobody answers, or that end the connection. */
export const noise: fc.Arbitrary<Sayings> = fc.array(
  fc.oneof(
    fc.tuple(oddText, oddValue).map((args) => `42${JSON.stringify(args)}`),
    fc.constantFrom('42["error",{}]', '42["disconnect"]', '42["connect"]', '42["decide",{}]'),
    fc.constantFrom('2', '3', '40', '41', '43[]', '44{}', '451-["request",{"_placeholder":true}]'),
    fc.constantFrom('4511-["request"]', '6', '40/admin,{}', '42/admin,["request",{}]', '1', '5'),
    oddText,
    fc.uint8Array({ maxLength: 20 }),
  ),
  { minLength: 1, maxLength: 12 },
)

const SOCKET_IO = '/socket.io/?EIO=4&transport=websocket'

async function join({ url, key }: Place): Promise<Spoken> {
  const spoken = await speakTo(url, SOCKET_IO, {})
  spoken.socket.send(`40${JSON.stringify({ token: key })}`)
  await spoken.heard.find((packet) => packet.startsWith('40'))
  return spoken
}

/** Says it after joining, and has an acknowledgement of every event. */
export async function sayPackets(place: Place, sayings: Sayings): Promise<void> {
  using spoken = await join(place)
  const wanted = new Set<string>()
  for (const [i, saying] of sayings.entries()) {
    const id = String(1_000 + i)
    if (isEvent(saying)) wanted.add(id)
    spoken.socket.send(isEvent(saying) ? saying.replace('{id}', id) : saying)
  }
  for (let next = 0; wanted.size > 0; next++) {
    const packet = (await spoken.heard.take(next + 1))[next] ?? ''
    if (packet === '') throw new Error(`it was closed with ${spoken.closed()}`)
    const acknowledged = acknowledgedBy(packet)
    if (acknowledged !== undefined) wanted.delete(acknowledged)
  }
}

/** An event that wants to be acknowledged, under an id that is put in when it is sent. */
const isEvent = (saying: string | Uint8Array): saying is string =>
  typeof saying === 'string' && saying.startsWith('42{id}')

/** The id of what was acknowledged. @throws for an acknowledgement that no client may get. */
function acknowledgedBy(packet: string): string | undefined {
  const [, id, json = '[]'] = /^43(\d+)(\[[\s\S]*)$/.exec(packet) ?? []
  if (id === undefined) return undefined
  const [answer] = JSON.parse(json) as [{ readonly ok?: unknown }]
  if (answer.ok === false) requireDocumentedCode(answer)
  else if (answer.ok !== true) throw new Error(`this is no acknowledgement: ${packet}`)
  return id
}

/** Says it while another client is there, who goes on as if nothing had been said. */
export async function makeNoise(place: Place, sayings: Sayings): Promise<void> {
  using other = await join(place)
  using spoken = await join(place)
  for (const saying of sayings) spoken.socket.send(saying)
  other.socket.send('427["cancel",{"request_id":"nobody"}]')
  await other.heard.find((packet) => packet.startsWith('437'))
}

/** What a client says of itself when it joins. */
export const handshakes = (place: Place): fc.Arbitrary<Sayings> =>
  fc
    .oneof(jsonText({ token: place.key }), jsonText({ token: 'x' }), mostly('{}', oddText))
    .map((json) => [`40${json}`])

/** Joins with it: is let in, or told why not, or cut off. */
export async function joinWith(place: Place, [hello = '']: Sayings): Promise<void> {
  using spoken = await speakTo(place.url, SOCKET_IO, {})
  await spoken.heard.find((packet) => packet.startsWith('0'))
  spoken.socket.send(hello)
  const answer = (await spoken.heard.take(2))[1] ?? ''
  if (answer === '' || answer.startsWith('40') || answer.startsWith('41')) return
  if (!answer.startsWith('44')) throw new Error(`this is no answer to a handshake: ${answer}`)
  // Of a namespace that is not there, Socket.IO itself says so.
  if (answer.startsWith('44{')) requireDocumentedCode(JSON.parse(answer.slice(2)).data)
}
