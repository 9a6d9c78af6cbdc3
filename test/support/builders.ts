import type { Event, EventType } from '../../src/core/event.ts'
import type { NewSession, Submission } from '../../src/core/ports.ts'
import type { Agent, Person } from '../../src/core/principal.ts'
import type { HitlRequest, Question, Settlement, State } from '../../src/core/request.ts'

/** Things as most tests need them. A test names what matters to it. */

export const TENANT = 'tenant-1'

export const aSession = (over: Partial<NewSession> = {}): NewSession => ({
  tenant: TENANT,
  id: 'session-1',
  clientId: 'client-1',
  reviewers: {},
  ...over,
})

export const aSubmission = (over: Partial<Submission> = {}): Submission => ({
  sessionId: 'session-1',
  clientId: 'client-1',
  message: 'Deploy to production?',
  type: 'choice',
  options: [
    { label: 'Deploy', effect: 'approve' },
    { label: 'Hold', effect: 'reject' },
    { label: 'Review first', effect: 'other' },
  ],
  metadata: {},
  timeoutSeconds: 300,
  ...over,
})

/** Over as soon as it is stored, by the clock of the database. */
export const overdue: Partial<Submission> = { timeoutSeconds: -1 }

/** Who is asked in a chat. */
export const telegram = (address: string | null, ...approvers: string[]) => ({
  telegram: { address, approvers },
})

export const anAgent = (over: Partial<Agent> = {}): Agent => ({
  type: 'agent',
  tenant: TENANT,
  id: 'key-1',
  mayRegister: true,
  ...over,
})

export const aPerson = (over: Partial<Person> = {}): Person => ({
  type: 'person',
  tenant: TENANT,
  channel: 'console',
  id: 'ann',
  name: 'Ann',
  ...over,
})

const CREATED_AT = new Date('2026-01-02T03:04:05.006Z')

export const aQuestion = (over: Partial<Question> = {}): Question => ({
  id: '00000000-0000-4000-8000-000000000001',
  tenant: TENANT,
  sessionId: 'session-1',
  clientId: 'client-1',
  message: 'Deploy to production?',
  type: 'choice',
  options: aSubmission().options,
  metadata: {},
  reviewers: {},
  hasCallbacks: false,
  createdAt: CREATED_AT,
  expiresAt: new Date(CREATED_AT.getTime() + 300_000),
  ...over,
})

export const aState = (over: Partial<State> = {}): State => ({
  status: 'pending',
  outcome: null,
  response: null,
  comment: null,
  decidedBy: null,
  delivery: [],
  settledAt: null,
  receipt: null,
  ...over,
})

export const aRequest = (
  over: { question?: Partial<Question>; state?: Partial<State>; seq?: number } = {},
): HitlRequest => ({
  question: aQuestion(over.question),
  state: aState(over.state),
  cursor: { epoch: 'e1', seq: over.seq ?? 1 },
})

export const anEvent = (
  type: EventType,
  over: { question?: Partial<Question>; state?: Partial<State>; seq?: number } = {},
): Event => ({ ...aRequest(over), type, at: CREATED_AT })

export const approval = (over: Partial<Settlement> = {}): Settlement => ({
  status: 'decided',
  outcome: 'approved',
  response: 'Deploy',
  comment: null,
  decidedBy: { channel: 'console', id: 'ann', name: 'Ann' },
  ...over,
})

const unanswered = { response: null, comment: null, decidedBy: null } as const

export const cancellation: Settlement = { status: 'canceled', outcome: 'canceled', ...unanswered }
export const expiration: Settlement = { status: 'expired', outcome: 'expired', ...unanswered }
