import type { Act, Fact, Final, Heard, Seen } from './facts.ts'

export const INVARIANTS = {
  I1: 'an acknowledged request is there later, and is what was asked',
  I2: 'a request has one outcome, for everybody and for ever',
  I3: 'an answer that was told it counts is the outcome',
  I4: 'a decision is what somebody answered in time; nothing else approves',
  I5: 'every outcome reaches every reader of the session',
  I6: 'a reader gets the log without a gap, in order, each event once',
  I7: 'nobody gets what belongs to another session',
  I8: 'the receipt is authentic, says what the request says, and is the same for everybody',
  I9: 'the log has one event for each change, and nothing after the outcome',
  I10: 'every card of a settled request shows how it was settled',
  I11: 'no secret is in a log',
  I12: 'nothing is left over when everybody has gone',
  I13: 'an outcome is called back, always by one id, signed, and as everybody saw it',
} as const

export type Invariant = keyof typeof INVARIANTS
export type Harm = 'lost' | 'doubled' | 'reordered' | 'changed' | 'other'

export interface Violation {
  readonly invariant: Invariant
  readonly harm: Harm
  readonly what: string
}

/** Further violations of a run that broke are counted by none. */
const MOST = 1_000

const TERMINAL: Readonly<Record<string, readonly (string | null)[]>> = {
  'request.decided': ['approved', 'rejected', 'answered'],
  'request.expired': ['expired'],
  'request.canceled': ['canceled'],
}

/** The words of a card's first line for each outcome. */
export const HEADLINES: Readonly<Record<string, string>> = {
  approved: '✅ Approved',
  rejected: '❌ Rejected',
  answered: '💬 Answered',
  expired: '⌛ Expired',
  canceled: '🚫 Canceled',
}

interface Known {
  readonly asked?: Extract<Fact, { t: 'asked' }>
  readonly tried: { act: Act; by: string; says: string; at: number }[]
  readonly counted: { act: Act; by: string; says: string }[]
  readonly called: Extract<Fact, { t: 'called' }>[]
  /** The first terminal state that anybody saw. */
  settled: Seen | undefined
}

interface Place {
  session: string | undefined
  seq: number
}

/**
 * Judges a history, fact by fact, and then what is there in the end. It reads nothing else and
 * changes nothing, so that a history that was kept can be judged again.
 */
export class Checker {
  readonly violations: Violation[] = []
  readonly #requests = new Map<string, Known>()
  readonly #readers = new Map<string, Place>()
  /** Of each session what was heard first at each number: all must have heard the same. */
  readonly #heard = new Map<string, string[]>()

  see(fact: Fact): void {
    switch (fact.t) {
      case 'asked':
        this.#asked(fact)
        break
      case 'tried':
        this.#known(fact.request).tried.push(fact)
        break
      case 'counted':
        this.#known(fact.request).counted.push(fact)
        break
      case 'resumed':
        this.#resumed(fact)
        break
      case 'heard':
        this.#readerHeard(fact)
        break
      case 'saw':
        this.#saw(fact.request, fact.seen, 'a view')
        this.#sameContent(fact.request, fact.content)
        break
      case 'called':
        this.#called(fact)
        break
      case 'fault':
        break
      default:
        fact satisfies never
    }
  }

  finish(final: Final): readonly Violation[] {
    this.#finishRequests(final)
    for (const { session, events } of final.logs) this.#finishLog(session, events)
    this.#finishReaders(final)
    this.#finishCards(final)
    this.#finishCallbacks(final)
    for (const complaint of final.complaints) this.#wrong('I10', 'other', complaint)
    for (const leak of final.leaks) this.#wrong('I11', 'other', leak)
    for (const left of final.leftovers) this.#wrong('I12', 'other', left)
    return this.violations
  }

  #wrong(invariant: Invariant, harm: Harm, what: string): void {
    if (this.violations.length < MOST) this.violations.push({ invariant, harm, what })
  }

  #known(request: string): Known {
    const known = this.#requests.get(request) ?? {
      ...{ tried: [], counted: [], called: [] },
      settled: undefined,
    }
    this.#requests.set(request, known)
    return known
  }

  #asked(fact: Extract<Fact, { t: 'asked' }>): void {
    const known = this.#known(fact.request)
    this.#sameContent(fact.request, fact.content)
    this.#requests.set(fact.request, { ...known, asked: known.asked ?? fact })
  }

  #sameContent(request: string, content: string): void {
    const { asked } = this.#known(request)
    if (asked && asked.content !== content) {
      this.#wrong('I1', 'changed', `${request} was asked as ${asked.content} and is ${content}`)
    }
  }

  /** Whatever anybody sees once it is settled, everybody sees. */
  #saw(request: string, seen: Seen, where: string): void {
    if (seen.status === 'pending') return
    const known = this.#known(request)
    known.settled ??= seen
    if (!same(known.settled, seen)) {
      this.#wrong(
        'I2',
        'changed',
        `${request} was ${tell(known.settled)}; ${where} has ${tell(seen)}`,
      )
    } else if (known.settled.receipt !== seen.receipt || seen.receipt === null) {
      const receipts = `${known.settled.receipt}; ${where} has ${seen.receipt}`
      this.#wrong('I8', 'changed', `${request} had the receipt ${receipts}`)
    }
  }

  #resumed({ reader, since, recovered, way }: Extract<Fact, { t: 'resumed' }>): void {
    if (recovered) return
    this.#wrong('I6', 'lost', `${reader} could not go on from ${since} over ${way}`)
  }

  #readerHeard(fact: Extract<Fact, { t: 'heard' }>): void {
    const place = this.#readers.get(fact.reader) ?? { session: undefined, seq: 0 }
    this.#readers.set(fact.reader, place)
    place.session ??= fact.session
    const seq = seqOf(fact)
    const where = `${fact.reader} got ${fact.id} (${fact.type}) after number ${place.seq}`
    if (place.session !== fact.session) this.#wrong('I7', 'other', `${where}, of ${fact.session}`)
    else if (seq === place.seq) this.#wrong('I6', 'doubled', where)
    else if (seq < place.seq) this.#wrong('I6', 'reordered', where)
    else if (seq > place.seq + 1) this.#wrong('I6', 'lost', where)
    else place.seq = seq
    this.#sameEvent(fact, fact.reader)
    this.#saw(fact.request, fact.seen, fact.reader)
  }

  #sameEvent(event: Heard, where: string): void {
    const events = this.#heard.get(event.session) ?? []
    this.#heard.set(event.session, events)
    const text = `${event.id} ${event.type} ${event.request}`
    const first = events[seqOf(event)]
    events[seqOf(event)] ??= text
    if (first !== undefined && first !== text) {
      this.#wrong('I6', 'changed', `what was ${first} is ${text} to ${where}`)
    }
  }

  #called(fact: Extract<Fact, { t: 'called' }>): void {
    const { called } = this.#known(fact.request)
    const where = `the callback ${fact.webhookId} of ${fact.request}`
    if (fact.problem !== null) this.#wrong('I13', 'changed', `${where}: ${fact.problem}`)
    if (fact.to !== fact.session) this.#wrong('I7', 'other', `${where} was posted to ${fact.to}`)
    const others = called.filter(({ webhookId }) => webhookId !== fact.webhookId)
    if (others.length > 0) {
      this.#wrong('I13', 'doubled', `${where} was ${others[0]?.webhookId} before`)
    }
    called.push(fact)
  }

  /** Each is the event that is in the log; and there is one for whoever wanted it. */
  #finishCallbacks({ logs }: Final): void {
    const ends = new Map(
      logs.flatMap(({ events }) => events.filter(isEnd).map((event) => [event.request, event])),
    )
    for (const [request, { asked, called }] of this.#requests) {
      const end = ends.get(request)
      if (asked?.isCalledBack && end && called.length === 0) {
        this.#wrong('I13', 'lost', `${request} was ${tell(end.seen)}, and was not called back`)
      }
      for (const post of called) this.#sameEnd(request, post, end)
    }
  }

  #sameEnd(request: string, post: Heard, end: Heard | undefined): void {
    if (end && end.id === post.id && end.type === post.type && same(end.seen, post.seen)) return
    const is = end ? `${end.id} ${tell(end.seen)}` : 'not settled'
    this.#wrong('I13', 'changed', `${post.id} ${tell(post.seen)} was posted; ${request} is ${is}`)
  }

  #finishRequests({ requests }: Final): void {
    const there = new Set<string>()
    for (const { request, content, expiresAt, seen, receipt } of requests) {
      there.add(request)
      this.#sameContent(request, content)
      this.#saw(request, seen, 'the end')
      if (seen.status === 'pending') this.#wrong('I5', 'lost', `${request} is still pending`)
      this.#judge(request, seen, Date.parse(expiresAt))
      const isProved = receipt?.authentic && receipt.outcome === seen.outcome
      if (seen.status !== 'pending' && !isProved) {
        this.#wrong('I8', 'changed', `the receipt of ${request} says ${JSON.stringify(receipt)}`)
      }
    }
    for (const [request, { asked }] of this.#requests) {
      if (asked && !there.has(request)) this.#wrong('I1', 'lost', `${request} is not there`)
    }
  }

  #judge(request: string, seen: Seen, expiresAt: number): void {
    const known = this.#known(request)
    for (const one of known.counted) {
      const isIt =
        one.act === 'cancel'
          ? seen.outcome === 'canceled'
          : seen.decidedBy === one.by && seen.response === one.says
      if (isIt) continue
      const told = `${one.by} was told that ${one.act} "${one.says}" counts`
      this.#wrong(
        'I3',
        seen.status === 'pending' ? 'lost' : 'changed',
        `${told}; ${request} is ${tell(seen)}`,
      )
    }
    const complaint = lies(seen) ?? unfounded(known, seen, expiresAt)
    if (complaint) this.#wrong('I4', 'changed', `${request} is ${tell(seen)}: ${complaint}`)
  }

  #finishLog(session: string, events: readonly Heard[]): void {
    const created = new Set<string>()
    const settled = new Set<string>()
    events.forEach((event, i) => {
      this.#sameEvent(event, `the log of ${session}`)
      this.#saw(event.request, event.seen, `the log of ${session}`)
      if (event.session !== session) {
        this.#wrong('I7', 'other', `${event.id} of ${event.session} is in ${session}`)
      }
      if (seqOf(event) !== i + 1) this.#wrong('I9', 'lost', `${event.id} is number ${i + 1}`)
      this.#finishEvent(event, created, settled)
    })
    for (const [request, { asked, settled: seen }] of this.#requests) {
      if (asked?.session !== session) continue
      if (!created.has(request)) this.#wrong('I9', 'lost', `${request} has no event in ${session}`)
      if (seen && !settled.has(request)) {
        this.#wrong('I9', 'lost', `the outcome of ${request} has no event`)
      }
    }
  }

  #finishEvent(event: Heard, created: Set<string>, settled: Set<string>): void {
    const { request, type, id, seen } = event
    const where = `${id} ${type} of ${request}`
    if (settled.has(request)) this.#wrong('I9', 'doubled', `${where} follows its outcome`)
    if (type === 'request.created') {
      if (created.has(request)) this.#wrong('I9', 'doubled', `${where} is its second creation`)
      created.add(request)
    } else if (!created.has(request)) this.#wrong('I9', 'reordered', `${where} is too early`)
    const outcomes = TERMINAL[type] ?? [null]
    if (!outcomes.includes(seen.outcome))
      this.#wrong('I9', 'changed', `${where} says ${tell(seen)}`)
    if (type in TERMINAL) settled.add(request)
  }

  #finishReaders({ readers, logs }: Final): void {
    const tops = new Map(logs.map(({ session, events }) => [session, events.length]))
    for (const { reader, session } of readers) {
      const seq = this.#readers.get(reader)?.seq ?? 0
      const top = tops.get(session) ?? 0
      if (seq < top) this.#wrong('I5', 'lost', `${reader} got up to ${seq} of ${top} in ${session}`)
    }
  }

  #finishCards({ cards, requests }: Final): void {
    const settledAlone = new Set<string>()
    const outcomes = new Map(requests.map(({ request, seen }) => [request, seen.outcome]))
    for (const { request, text, buttons, isTouched } of cards) {
      const outcome = outcomes.get(request)
      if (!outcome) continue
      const isSettled = text.startsWith(HEADLINES[outcome] ?? outcome) && buttons === 0
      if (isSettled && !isTouched) settledAlone.add(request)
      const shown = JSON.stringify(text.slice(0, 60))
      if (!isSettled)
        this.#wrong('I10', 'other', `a card of ${request} (${outcome}) shows ${shown}`)
    }
    const left = requests.filter(({ request, seen, isDelivered }) => {
      return seen.outcome !== null && isDelivered && !settledAlone.has(request)
    })
    for (const { request } of left) {
      this.#wrong('I10', 'other', `${request} was delivered, and no card was brought up to date`)
    }
  }
}

const isEnd = ({ type }: Heard): boolean => type in TERMINAL

const seqOf = ({ id }: Heard): number => Number(id.slice(id.lastIndexOf('-') + 1))

const same = (a: Seen, b: Seen): boolean => JSON.stringify(fields(a)) === JSON.stringify(fields(b))

const fields = (seen: Seen) => [
  ...[seen.status, seen.outcome, seen.approved, seen.response, seen.decidedBy, seen.respondedAt],
]

const tell = ({ status, outcome, approved, response, decidedBy }: Seen): string =>
  `${status}/${outcome}${approved ? ' (approved)' : ''} "${response ?? ''}" by ${decidedBy ?? 'nobody'}`

const lies = ({ approved, outcome }: Seen): string | undefined =>
  approved === (outcome === 'approved') ? undefined : 'approved is not its outcome'

/** Why a state can not have come about; undefined when it can. */
function unfounded(known: Known, seen: Seen, expiresAt: number): string | undefined {
  const settledAt = Date.parse(seen.respondedAt ?? '')
  switch (seen.outcome) {
    case null:
      return undefined
    case 'expired':
      if (isSomebodys(seen)) return 'a timeout has nobody'
      return settledAt < expiresAt ? 'it expired before its time' : undefined
    case 'canceled':
      if (isSomebodys(seen)) return 'a cancellation has no decider'
      return known.tried.some(({ act }) => act === 'cancel') ? undefined : 'nobody canceled it'
    default:
      return settledAt < expiresAt
        ? undecided(known, seen, settledAt)
        : 'it was decided after its time'
  }
}

const isSomebodys = ({ decidedBy, response }: Seen): boolean =>
  decidedBy !== null || response !== null

/** Why nobody can have decided that; undefined when somebody did. */
function undecided({ asked, tried }: Known, seen: Seen, settledAt: number): string | undefined {
  const { decidedBy, response } = seen
  const answers = tried.filter(({ act, by, says }) => {
    return act !== 'cancel' && by === decidedBy && says === response
  })
  if (answers.length === 0) return 'nobody answered that'
  if (!answers.some(({ at }) => at <= settledAt + CLOCK_MS)) return 'it was answered later'
  const isMeant = !asked || meaning(asked.effects, response ?? '') === seen.outcome
  return isMeant ? undefined : `"${response}" does not mean that`
}

/** Both clocks are this machine's; the database rounds its own. */
const CLOCK_MS = 2

function meaning(effects: Readonly<Record<string, string>>, says: string): string {
  const effect = Object.keys(effects).length === 0 ? TEXTS[says] : effects[says]
  if (effect === 'approve') return 'approved'
  return effect === 'reject' ? 'rejected' : 'answered'
}

/** What the reviewers of a run write. */
export const TEXTS: Readonly<Record<string, 'approve' | 'reject' | 'other'>> = {
  yes: 'approve',
  no: 'reject',
  'ask Bob first': 'other',
}
