import { createHash } from 'node:crypto'
import type { JSONWebKeySet } from 'jose'
import type {
  AuditedCheckpoint,
  AuditedEvent,
  AuditedHead,
  AuditedRequest,
  AuditSource,
  Place,
} from '../core/audit.ts'
import { readCheckpoint } from './checkpoint.ts'
import { RECEIPT_TYP } from './receipt.ts'
import { readSigned } from './signed.ts'

/** Problems that are told; the others are counted. */
const TOLD = 100

/** What the rows are held against. */
export interface AuditOptions {
  /** The keys that receipts and checkpoints may be signed with. */
  readonly keys: JSONWebKeySet
  /** Receipts that were kept elsewhere, to be compared with their rows. */
  readonly receipts?: readonly string[]
  /** Checkpoints that were kept elsewhere, which must be there. */
  readonly checkpoints?: readonly string[]
}

/** What an audit found. */
export interface AuditReport {
  /** The first of them, each naming a row. */
  readonly problems: readonly string[]
  readonly problemCount: number
  /** What was looked at. */
  readonly counts: Counts
}

interface Counts {
  sessions: number
  events: number
  /** Events of before there was a chain. */
  unchained: number
  requests: number
  /** Settled requests whose receipt can be made. */
  sealed: number
  checkpoints: number
  heads: number
  /** Heads whose events were deleted when they were old enough. */
  prunedHeads: number
  receipts: number
  /** When the last of the requests was settled whose events are deleted. */
  deletedUntil: Date | null
}

/** Looks at every row of the log, and at what is signed. It changes nothing. */
export async function audit(source: AuditSource, options: AuditOptions): Promise<AuditReport> {
  const auditor = new Auditor(options)
  for await (const row of source.events()) auditor.event(row)
  auditor.endOfSession()
  for await (const stray of source.strays()) {
    auditor.problem(nameOf(stray), `event ${stray.seq}`, 'its session is missing')
  }
  for await (const request of source.requests()) auditor.request(request)
  for await (const checkpoint of source.checkpoints()) await auditor.checkpoint(checkpoint)
  await auditor.keptCheckpoints()
  for (const receipt of options.receipts ?? []) await auditor.receipt(receipt, source)
  return auditor
}

interface Session {
  readonly name: string
  readonly head: Place
  last: Place
  /** A broken chain says nothing of what follows. */
  isBroken: boolean
}

class Auditor implements AuditReport {
  readonly problems: string[] = []
  problemCount = 0
  readonly counts: Counts = {
    ...{ sessions: 0, events: 0, unchained: 0, requests: 0, sealed: 0, checkpoints: 0 },
    ...{ heads: 0, prunedHeads: 0, receipts: 0, deletedUntil: null },
  }
  readonly #keys: JSONWebKeySet
  readonly #kids: ReadonlySet<unknown>
  /** Checkpoints kept elsewhere that were not met yet. */
  readonly #kept: Set<string>
  #session: Session | undefined
  #previous:
    | { readonly tenant: string; readonly number: number; readonly digest: string }
    | undefined

  constructor({ keys, checkpoints = [] }: AuditOptions) {
    this.#keys = keys
    this.#kids = new Set(keys.keys.map(({ kid }) => kid))
    this.#kept = new Set(checkpoints)
  }

  problem(where: string, row: string, what: string): void {
    this.problemCount += 1
    if (this.problems.length < TOLD) this.problems.push(`${where}, ${row}: ${what}`)
  }

  event({ tenant, sessionId, head, floor, event }: AuditedEvent): void {
    const name = nameOf({ tenant, sessionId })
    if (this.#session?.name !== name) {
      this.endOfSession()
      this.counts.sessions += 1
      this.#session = { name, head, last: floor, isBroken: false }
    }
    if (event) this.#append(this.#session, event)
  }

  #append(session: Session, event: NonNullable<AuditedEvent['event']>): void {
    const { seq, requestId, hash, isSame } = event
    this.counts.events += 1
    const row = `event ${seq} of request ${requestId}`
    if (isSame === null) this.problem(session.name, row, 'its request is missing')
    else if (!isSame) this.problem(session.name, row, 'the row of the request says something else')
    if (session.isBroken) return
    const complaint = this.#complaint(session.last, event)
    if (complaint === undefined) {
      if (hash === null) this.counts.unchained += 1
      session.last = { seq, hash: hash ?? '' }
      return
    }
    session.isBroken = true
    this.problem(session.name, complaint.row ?? row, complaint.what)
  }

  #complaint(last: Place, { seq, hash, entry }: NonNullable<AuditedEvent['event']>) {
    if (seq <= last.seq) return { what: 'it is among the events that are said to be deleted' }
    if (seq > last.seq + 1) return { row: `event ${last.seq + 1}`, what: 'it is missing' }
    if (hash === null) return last.hash === '' ? undefined : { what: 'its hash is missing' }
    const isRight =
      createHash('sha256')
        .update(last.hash + entry)
        .digest('hex') === hash
    return isRight ? undefined : { what: 'it was changed, or does not follow the event before it' }
  }

  endOfSession(): void {
    const { name, head, last, isBroken = true } = this.#session ?? {}
    this.#session = undefined
    if (isBroken || name === undefined || !head || !last) return
    if (last.seq !== head.seq) {
      this.problem(name, `event ${last.seq + 1}`, `it is missing: the log went on to ${head.seq}`)
    } else if (last.hash !== head.hash) {
      this.problem(name, `event ${last.seq}`, 'it is not the one that the session ends with')
    }
  }

  request(request: AuditedRequest): void {
    this.counts.requests += 1
    const wrong = (what: string) => this.problem(nameOf(request), `request ${request.id}`, what)
    const { deletedAt } = request
    if (deletedAt && deletedAt > (this.counts.deletedUntil ?? 0))
      this.counts.deletedUntil = deletedAt
    if (!request.isInLog) wrong('the log does not know it')
    if (request.digest !== null && request.digest !== request.contentDigest) {
      wrong('what was asked was changed')
    }
    if (request.claims === null) return
    this.counts.sealed += 1
    if (!this.#kids.has(request.kid))
      wrong(`its receipt needs the key ${request.kid}, which is not there`)
  }

  async checkpoint(checkpoint: AuditedCheckpoint): Promise<void> {
    const { tenant, number, jws, heads, headsDigest, digest } = checkpoint
    this.counts.checkpoints += 1
    this.#kept.delete(jws)
    const wrong = (what: string) => this.problem(`tenant ${tenant}`, `checkpoint ${number}`, what)
    const before = this.#previous?.tenant === tenant ? this.#previous : undefined
    this.#previous = { tenant, number, digest }
    const expected = (before?.number ?? 0) + 1
    if (number !== expected) {
      this.problem(`tenant ${tenant}`, `checkpoint ${expected}`, 'it is missing')
    }
    const claims = await readCheckpoint(jws, this.#keys)
    if (!claims) wrong('none of the keys has signed it')
    else if (claims.tenant !== tenant || claims.number !== number) wrong('it is another one')
    else if (number === expected && claims.previous !== (before?.digest ?? null)) {
      wrong('it does not follow the one before it')
    } else if (claims.heads.count !== heads.length || claims.heads.digest !== headsDigest) {
      wrong('its heads were changed')
    }
    for (const head of heads) this.#head(tenant, number, head)
  }

  #head(tenant: string, number: number, { sessionId, seq, hash, now }: AuditedHead): void {
    this.counts.heads += 1
    const name = nameOf({ tenant, sessionId })
    const wrong = (what: string) =>
      this.problem(name, `event ${seq}`, `${what} (checkpoint ${number})`)
    const isDeleted = now !== null && seq < now.floor.seq
    const there = seq === now?.floor.seq ? now.floor.hash : now?.hash
    if (now === null) wrong('its session is missing')
    else if (seq > now.head) wrong(`it is missing: the log ends with ${now.head}`)
    else if (isDeleted) this.counts.prunedHeads += 1
    else if (there !== hash) wrong('it is not the one that was there')
  }

  async keptCheckpoints(): Promise<void> {
    for (const jws of this.#kept) {
      const claims = await readCheckpoint(jws, this.#keys)
      if (!claims)
        this.problem('a checkpoint kept elsewhere', jws.slice(0, 40), 'it is not authentic')
      else
        this.problem(
          `tenant ${claims.tenant}`,
          `checkpoint ${claims.number}`,
          'it is not the one kept elsewhere',
        )
    }
  }

  async receipt(receipt: string, source: AuditSource): Promise<void> {
    this.counts.receipts += 1
    const where = 'a receipt kept elsewhere'
    const said = await readSigned(receipt, RECEIPT_TYP, this.#keys)
    if (said === undefined) {
      this.problem(where, `…${receipt.slice(-12)}`, 'it is not authentic')
      return
    }
    const { sub } = JSON.parse(said) as { sub: string }
    const request = await source.request(sub)
    if (!request) this.problem(where, `request ${sub}`, 'it is missing')
    else if (request.claims !== said) {
      this.problem(nameOf(request), `request ${sub}`, 'its row does not say what its receipt says')
    }
  }
}

const nameOf = ({ tenant, sessionId }: { tenant: string; sessionId: string }): string =>
  `tenant ${tenant}, session ${sessionId}`
