import { randomBytes } from 'node:crypto'
import type { Envelope, RequestView } from '../../../src/protocol/types.ts'
import type { TestApp } from '../app.ts'

interface Registration {
  readonly session_id?: string
  readonly client_id?: string
  readonly telegram_id?: number
}

/** A session of its own, and what its agent and its reviewer do. */
export class Line {
  readonly app: TestApp
  readonly id: string
  readonly clientId: string

  private constructor(app: TestApp, id: string, clientId: string) {
    this.app = app
    this.id = id
    this.clientId = clientId
  }

  static async open(app: TestApp, fields: Registration = {}): Promise<Line> {
    const { session_id = `line-${randomBytes(6).toString('hex')}`, client_id = 'agent' } = fields
    await app.register({ ...fields, session_id, client_id })
    return new Line(app, session_id, client_id)
  }

  get target(): { readonly session_id: string } {
    return { session_id: this.id }
  }

  ask(fields: object = {}): Promise<RequestView> {
    return this.app.ask({
      session_id: this.id,
      client_id: this.clientId,
      options: ['Yes', 'No'],
      ...fields,
    })
  }

  async decide(
    { request_id }: RequestView,
    answer: object = { option: 'Yes' },
  ): Promise<RequestView> {
    const { status, body } = await this.app.decide(request_id, answer)
    if (status !== 200) throw new Error(`decide: ${JSON.stringify(body)}`)
    return body
  }

  /** Asked and decided. */
  async settled(fields: object = {}): Promise<RequestView> {
    return this.decide(await this.ask(fields))
  }

  async cancel({ request_id }: RequestView): Promise<void> {
    const { status, body } = await this.app.post('/hitl/cancel', { request_id })
    if (status !== 200) throw new Error(`cancel: ${JSON.stringify(body)}`)
  }

  /** Everything that happened, from the log. */
  async log(): Promise<readonly Envelope[]> {
    const events: Envelope[] = []
    for (let since = 'earliest'; ; ) {
      const { body } = await this.app.get<{ events: Envelope[]; cursor: string }>(
        `/hitl/poll?session_id=${this.id}&since=${since}`,
      )
      if (body.events.length === 0) return events
      events.push(...body.events)
      since = body.cursor
    }
  }

  /** The cursor of the newest event. */
  async end(): Promise<string> {
    const last = (await this.log()).at(-1)
    if (!last) throw new Error('nothing has happened')
    return last.id
  }
}
