import type { RequestView } from '../src/protocol/types.ts'
import { Loopgate } from './loopgate.ts'
import type { QuestionOption } from './options.ts'

/** What registering answered in the Go Loopgate's clients. */
export interface LegacyRegistration {
  readonly success: true
  readonly session_id: string
  readonly message: string
  readonly webhook_secret: string
  readonly link_url: string | null
}

/**
 * The client of the Go Loopgate's documentation, call for call: the same arguments, and the answer
 * of `/hitl/poll`. Its decision arrives at once instead of by asking every two seconds, and
 * `approved` is true only when a person approved. New programs use `Loopgate`.
 */
export class LoopgateClient {
  readonly #gate: Loopgate

  constructor(baseURL = 'http://localhost:8080', options: { readonly apiKey?: string } = {}) {
    this.#gate = new Loopgate({ ...options, url: baseURL })
  }

  /** @throws {LoopgateError} */
  async registerSession(
    sessionId: string,
    clientId: string,
    telegramId?: number | null,
  ): Promise<LegacyRegistration> {
    const { linkUrl, webhookSecret } = await this.#gate.register({
      sessionId,
      clientId,
      telegramId: telegramId ?? undefined,
    })
    return {
      success: true,
      session_id: sessionId,
      message: 'Session registered successfully',
      webhook_secret: webhookSecret,
      link_url: linkUrl,
    }
  }

  /**
   * Resolves with the settled request: `{status, response, approved, request_id, completed, …}`.
   * @throws {LoopgateError}
   */
  async requestApproval(
    sessionId: string,
    clientId: string,
    message: string,
    options: readonly (string | QuestionOption)[] | null = null,
    metadata: Readonly<Record<string, unknown>> | null = null,
    timeoutSeconds?: number | null,
  ): Promise<RequestView> {
    const { view, approved } = await this.#gate.request({
      sessionId,
      clientId,
      message,
      options: options ?? undefined,
      metadata: metadata ?? undefined,
      timeoutSeconds: timeoutSeconds ?? undefined,
    })
    return { ...view, approved }
  }
}
