import type { ColumnType, Generated } from 'kysely'
import type { Option } from '../core/approval.ts'
import type { CallbackStatus } from '../core/callback.ts'
import type { EventType } from '../core/event.ts'
import type { KeyStatus } from '../core/receipt.ts'
import type {
  DecidedBy,
  Delivery,
  JsonObject,
  Outcome,
  RequestType,
  Reviewers,
  Status,
} from '../core/request.ts'

/** Tables as Kysely sees them. bigint columns are numbers: database.ts parses them. */
export interface Tables {
  sessions: SessionTable
  requests: RequestTable
  events: EventTable
  deliveries: DeliveryTable
  cards: CardTable
  invitations: InvitationTable
  secrets: SecretTable
  callbacks: CallbackTable
  callback_attempts: CallbackAttemptTable
  disabled_endpoints: DisabledEndpointTable
  session_callbacks: SessionCallbackTable
  contacts: ContactTable
  moved_addresses: MovedAddressTable
  rates: RateTable
  users: UserTable
  api_keys: ApiKeyTable
  tickets: TicketTable
  receipt_keys: ReceiptKeyTable
  consumptions: ConsumptionTable
  checkpoints: CheckpointTable
  checkpoint_heads: CheckpointHeadTable
  mcp_sessions: McpSessionTable
}

/** Read as a value, written as JSON text. */
type Json<T> = ColumnType<T, string, string>

export interface SessionTable {
  tenant: string
  id: string
  client_id: string
  reviewers: Json<Reviewers>
  active: Generated<boolean>
  created_at: Generated<Date>
  webhook_secret: string
  has_callbacks: Generated<boolean>
  tag: string
  seq: Generated<number>
  epoch: string
  floor_seq: Generated<number>
  floor_epoch: string
  chain: Generated<string>
  floor_chain: Generated<string>
}

export interface RequestTable {
  id: string
  tenant: string
  session_id: string
  client_id: string
  message: string
  type: RequestType
  options: Json<readonly Option[]>
  metadata: Json<JsonObject>
  reviewers: Json<Reviewers>
  idempotency_key: string | null
  body_digest: string | null
  approval_ttl_seconds: number | null
  has_callbacks: Generated<boolean>
  created_at: Date
  expires_at: Date
  status: Generated<Status>
  outcome: Outcome | null
  response: string | null
  comment: string | null
  decided_by: Json<DecidedBy> | null
  settled_by: string | null
  settled_at: Date | null
  delivery: Json<readonly Delivery[]>
  created_seq: number
  seq: number
  epoch: string
  digest: string | null
  receipt_kid: string | null
  receipt_issuer: string | null
  shown_digest: string | null
}

export interface EventTable {
  tenant: string
  session_id: string
  seq: number
  epoch: string
  type: EventType
  request_id: string
  at: Date
  state: Json<StoredState>
  hash: string | null
}

/** A request's State as it stands in an event, dates as text. */
export interface StoredState {
  readonly status: Status
  readonly outcome: Outcome | null
  readonly response: string | null
  readonly comment: string | null
  readonly decidedBy: DecidedBy | null
  readonly delivery: readonly Delivery[]
  readonly settledAt: string | null
}

export interface DeliveryTable {
  request_id: string
  channel: string
  status: Delivery['status']
  error: string | null
  attempts: Generated<number>
  due_at: Generated<Date>
}

export interface CardTable {
  channel: string
  address: string
  message: string
  request_id: string
  closed: Generated<boolean>
  attempts: Generated<number>
  due_at: Generated<Date>
  error: string | null
  away_from: Date | null
  away_to: Date | null
  shown: string | null
}

export interface ContactTable {
  name: string
  at: Date
}

export interface RateTable {
  key: string
  at: Date
}

export interface MovedAddressTable {
  channel: string
  address: string
  moved_to: string
}

export interface InvitationTable {
  code_digest: string
  tenant: string
  session_id: string
  channel: string
  expires_at: Date
  accepted_by: string | null
}

export interface SecretTable {
  name: string
  value: string
}

export interface CallbackTable {
  id: string
  request_id: string
  url: string
  status: Generated<CallbackStatus>
  attempts: Generated<number>
  failures: Generated<number>
  due_at: Generated<Date>
  next_attempt_at: Date | null
  error: string | null
}

export interface CallbackAttemptTable {
  callback_id: string
  number: number
  at: Date
  status_code: number | null
  error: string | null
  duration_ms: number
}

export interface SessionCallbackTable {
  id: string
  tenant: string
  session_id: string
  url: string
  created_at: Generated<Date>
}

export interface DisabledEndpointTable {
  tenant: string
  session_id: string
  url: string
  disabled_at: Generated<Date>
}

export interface UserTable {
  id: string
  username: string
  username_key: string
  password_hash: string
  created_at: Generated<Date>
}

export interface ApiKeyTable {
  id: string
  user_id: string
  digest: string
  prefix: string
  label: string | null
  may_register: boolean
  created_at: Generated<Date>
  expires_at: Date | null
  revoked_at: Date | null
  last_used_at: Date | null
}

export interface TicketTable {
  digest: string
  principal: Json<StoredPrincipal>
  expires_at: Date
}

/** A principal as it stands in a ticket. */
export type StoredPrincipal =
  | { readonly type: 'agent'; readonly id: string }
  | { readonly type: 'local' }
  | {
      readonly type: 'person'
      readonly tenant: string
      readonly channel: string
      readonly id: string
      readonly name: string
      readonly until: string | null
    }

export interface ReceiptKeyTable {
  kid: string
  status: KeyStatus
  private_jwk: Json<JsonObject>
  created_at: Generated<Date>
  current_from: Date | null
  retired_at: Date | null
}

export interface ConsumptionTable {
  request_id: string
  consumed_at: Generated<Date>
  consumed_by: string
}

export interface CheckpointTable {
  tenant: string
  number: number
  jws: string
}

export interface CheckpointHeadTable {
  tenant: string
  session_id: string
  seq: number
  hash: string
  number: number
}

export interface McpSessionTable {
  id: string
  tenant: string
  principal: string
  initialize: Json<object>
  subscriptions: Json<readonly string[]>
  created_at: Generated<Date>
  seen_at: Generated<Date>
}
