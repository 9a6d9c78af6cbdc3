import { isDeepStrictEqual } from 'node:util'
import { invalid, LoopgateError } from '../../core/errors.ts'
import type { Session, Submission } from '../../core/ports.ts'
import type { HitlRequest } from '../../core/request.ts'
import { parseSubmission } from '../../protocol/requests.ts'
import { askBeside, decideInline } from './inline.ts'
import type { Resumed, ToolCall, ToolContext } from './tool.ts'

/** Asking and waiting, as every tool does it that asks. */

/** The session of those who never made one. */
const OWN_SESSION = 'mcp'
/** Of a tenant's sessions, as many are named in an error. */
const MAX_NAMED = 20
/** A client that wants to hear that it is not forgotten hears it so often. */
const PROGRESS_MS = 10_000

interface Named {
  readonly session_id?: string | undefined
  readonly client_id?: string | undefined
}

/** A question that is stored, and what its caller would find it by. */
export interface Asked {
  readonly request: HitlRequest
  readonly session: Session
  /** Undefined when the caller chose an idempotency key. */
  readonly body: object | undefined
}

/**
 * The session that a call is for: the one that is named in the call or in the address, else the
 * tenant's only active one, else one of our own.
 * @throws {LoopgateError} INVALID_INPUT when there are several; SESSION_NOT_FOUND; FORBIDDEN for a key
 * that may make none.
 */
export async function sessionOf(
  { hub }: ToolContext,
  { principal, sessionId: connectedTo }: ToolCall,
  { session_id = connectedTo }: Named,
): Promise<Session> {
  if (session_id !== undefined) return hub.session(principal, session_id)
  const active = await hub.activeSessions(principal, MAX_NAMED + 1)
  const [only] = active
  if (only === undefined) return ownSession({ hub }, principal)
  if (active.length === 1) return only
  const named = active.slice(0, MAX_NAMED).map(({ id }) => JSON.stringify(id))
  const rest = active.length > MAX_NAMED ? ', …' : ''
  throw invalid(
    '/session_id',
    `there are several sessions, so say which: ${named.join(', ')}${rest}`,
  )
}

async function ownSession(
  { hub }: Pick<ToolContext, 'hub'>,
  principal: ToolCall['principal'],
): Promise<Session> {
  const there = await hub.session(principal, OWN_SESSION).catch((error: unknown) => {
    if (error instanceof LoopgateError && error.code === 'SESSION_NOT_FOUND') return undefined
    throw error
  })
  const clientId = there?.clientId ?? OWN_SESSION
  return hub.register(principal, { sessionId: OWN_SESSION, clientId, reviewers: {} })
}

/**
 * Asks, or finds what was asked: by the key of the body, by what the client calls this call, or because the same
 * caller left the same question unanswered.
 *
 * @param kind keeps two tools apart that a client calls in one call of its own.
 * @throws {LoopgateError} as parseSubmission and Hub.submit.
 */
export async function ask(
  context: ToolContext,
  call: ToolCall,
  kind: string,
  question: Named & Readonly<Record<string, unknown>>,
  recipients?: Submission['recipients'],
): Promise<Asked> {
  const { hub, defaults, left } = context
  const session = await sessionOf(context, call, question)
  const body = { client_id: session.clientId, ...question, session_id: session.id }
  const { callId } = call
  const named = callId === undefined ? {} : { idempotency_key: `${kind}:${callId}` }
  // Before anything else: what is wrong with it was wrong the first time.
  const submission = { ...parseSubmission({ ...named, ...body }, defaults), recipients }
  const hasKey = question['idempotency_key'] !== undefined
  if (call.resumed) {
    const request = await resume(context, call, call.resumed, submission)
    return { request, session, body: hasKey ? undefined : body }
  }
  const submit = async () => (await hub.submit(call.principal, submission)).request
  if (hasKey) return { request: await submit(), session, body: undefined }
  // First, since a model that calls again after its client gave up has another name for the call.
  const known = await left.take(call.principal, body)
  const request = known === undefined ? undefined : await hub.get(call.principal, known)
  // One that nobody answered in time is asked again.
  if (request && isOfUse(request)) return { request, session, body }
  return { request: await submit(), session, body }
}

const isOfUse = ({ state }: HitlRequest): boolean =>
  state.status === 'pending' || state.status === 'decided'

/** What makes a question the one that a call asks. */
const CONTENT = ['sessionId', 'clientId', 'message', 'type', 'options', 'metadata'] as const

/**
 * The question that the client put to its person meanwhile, and with the answer of that person.
 * @throws {LoopgateError} INVALID_INPUT when this call asks something else: which question it is about
 * is the client's word, and no approval is of use for another one.
 */
async function resume(
  context: ToolContext,
  call: ToolCall,
  { request, answer }: Resumed,
  submission: Submission,
): Promise<HitlRequest> {
  const { question } = request
  if (!CONTENT.every((part) => isDeepStrictEqual(submission[part], question[part]))) {
    throw invalid('/requestState', 'is of another question')
  }
  const isOpen = answer && request.state.status === 'pending'
  return isOpen ? decideInline(context, call, request, answer).catch(winnerOf) : request
}

/** The request as somebody who was faster settled it. */
export function winnerOf(error: unknown): HitlRequest {
  const winner = error instanceof LoopgateError ? error.details.request : undefined
  if (!winner) throw error
  return winner
}

/**
 * The request as soon as it is settled, or as it stands when the time is over or nobody waits any
 * more. Says at once, and then every ten seconds, that it waits.
 */
export async function awaitAnswer(
  context: ToolContext,
  call: ToolCall,
  { request, body }: Pick<Asked, 'request' | 'body'>,
  seconds: number,
): Promise<HitlRequest> {
  if (request.state.status !== 'pending' || seconds <= 0) return request
  const over = body && context.left.waits(call.principal, body, request.question.id)
  const stopTelling = tell(context, call, request, seconds)
  const stopAsking = askBeside(context, call, request)
  // Whoever is told of an error knows no id to ask by, as whoever left does not.
  let isLeft = true
  try {
    const seen = await hold(context, call, request, seconds * 1_000)
    isLeft = call.signal.aborted
    return seen
  } finally {
    stopTelling()
    stopAsking()
    over?.(isLeft)
  }
}

async function hold(
  { hub, clock, draining }: ToolContext,
  { principal, signal: left }: ToolCall,
  request: HitlRequest,
  ms: number,
): Promise<HitlRequest> {
  const until = clock.now() + ms
  const signal = AbortSignal.any([left, draining])
  let seen = request
  for (let rest = ms; rest > 0 && seen.state.status === 'pending'; rest = until - clock.now()) {
    if (signal.aborted) break
    seen = await hub.settled(principal, seen, rest, signal)
  }
  return seen
}

function tell(
  { clock }: ToolContext,
  { progress }: ToolCall,
  { question, state }: HitlRequest,
  total: number,
): () => void {
  const asked = state.delivery.map(({ channel, status }) => `${channel}: ${status}`).join(', ')
  const message = `Waiting for a person to answer request ${question.id}${asked && ` (${asked})`}`
  let cancel: (() => void) | undefined
  const again = (elapsed: number) => {
    progress(elapsed, total, message)
    const next = elapsed + PROGRESS_MS / 1_000
    if (next < total) cancel = clock.after(PROGRESS_MS, () => again(next))
  }
  again(0)
  return () => cancel?.()
}
