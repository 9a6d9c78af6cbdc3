import type { RequestView, WireEffect, WireRequestType } from '../src/protocol/types.ts'
import type { TransportName } from './connections/index.ts'
import type { OnRetry } from './retry.ts'
import type { Timing } from './timing.ts'
import type { VerifierOptions } from './verifier.ts'

export interface LoopgateOptions {
  /** Where the server is: `http://localhost:8080`. A path is kept. */
  readonly url: string | URL
  readonly apiKey?: string | undefined
  /** The ways to receive, the first choice first. All of them when it is left out. */
  readonly transports?: readonly TransportName[] | undefined
  /** Whether aborting a request also takes the question back from the reviewers. */
  readonly cancelOnAbort?: boolean | undefined
  /**
   * Whether a decision is given only when its receipt proves it: `true` by the keys that the server
   * lists, or by the `keys` that are given. Else NOT_VERIFIED is thrown.
   */
  readonly verify?: boolean | VerifierOptions | undefined
  readonly timing?: Partial<Timing> | undefined
  /** Told of every attempt that failed and is made again. MUST NOT throw. */
  readonly onRetry?: OnRetry | undefined
}

export interface Registration {
  readonly sessionId: string
  readonly clientId: string
  /** The Telegram user or group that is asked. */
  readonly telegramId?: number | undefined
  /** Who may answer in a group, by numeric id. */
  readonly approvers?: readonly number[] | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Registered {
  readonly sessionId: string
  /** A one-time link by which a reviewer joins a session that has nobody to ask. */
  readonly linkUrl: string | null
  readonly webhookSecret: string
}

/** A button. What its label means is declared by `effect`, or else read from it by the server. */
export interface QuestionOption {
  readonly label: string
  readonly effect?: WireEffect | undefined
}

export interface Question {
  readonly message: string
  readonly options?: readonly (string | QuestionOption)[] | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  readonly type?: WireRequestType | undefined
  readonly timeoutSeconds?: number | undefined
  /** How long an approval may be acted on; 900 s when it is left out. */
  readonly approvalTtlSeconds?: number | undefined
  /** Where the server posts how it ended, also when this process is gone. It must be public. */
  readonly callbackUrl?: string | undefined
  /** Names this question: asked again under it, also by another process, it is the same question. */
  readonly idempotencyKey?: string | undefined
  /** The session and the client that were registered last, when they are left out. */
  readonly sessionId?: string | undefined
  readonly clientId?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** The server has stored the question. */
  readonly onAsked?: ((view: RequestView) => void) | undefined
}
