/** The agent's SDK: ask a person, wait for the decision, whatever the network does meanwhile. */

export type {
  Envelope,
  RequestView,
  WireDelivery,
  WireEffect,
  WireEventType,
  WireOption,
  WireOutcome,
  WireRequestType,
  WireStatus,
} from '../src/protocol/types.ts'
export type { TransportName } from './connections/index.ts'
export type { Decision } from './decision.ts'
export { type ClientErrorCode, LoopgateError } from './errors.ts'
export { Loopgate } from './loopgate.ts'
export { type LegacyRegistration, LoopgateClient } from './loopgate-client.ts'
export type {
  LoopgateOptions,
  Question,
  QuestionOption,
  Registered,
  Registration,
} from './options.ts'
export {
  type Content,
  contentDigest,
  objection,
  type ReceiptClaims,
  type ReceiptKeys,
  readReceipt,
} from './receipt.ts'
export type { OnRetry, Retry } from './retry.ts'
export type { EnvelopeOf, EventName, SubscribeOptions, Unsubscribe } from './subscriber.ts'
export type { Timing } from './timing.ts'
export type { VerifierOptions } from './verifier.ts'
