import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { AuthorizationStore, KeyStore, TicketStore, UserStore } from '../core/account.ts'
import type { CallbackStore } from '../core/callback.ts'
import type {
  AddressStore,
  CardStore,
  ContactStore,
  DeliveryStore,
  InvitationStore,
  RateStore,
} from '../core/card.ts'
import type { CheckpointStore } from '../core/checkpoints.ts'
import type { McpSessionStore } from '../core/mcp-session.ts'
import type { EventLog, EventPruning, RequestStore, SessionStore } from '../core/ports.ts'
import type { ApprovalStore, ReceiptSigner } from '../core/receipt.ts'
import { PgAddressStore } from './address-store.ts'
import { PgApprovalStore } from './approval-store.ts'
import { PgCallbackStore } from './callback-store.ts'
import { PgCheckpointStore } from './checkpoint-store.ts'
import { PgContactStore } from './contact-store.ts'
import { PgDeliveryStore } from './delivery-store.ts'
import { PgEventLog } from './event-log.ts'
import { PgInvitationStore } from './invitation-store.ts'
import { PgKeyStore } from './key-store.ts'
import { PgMcpSessionStore } from './mcp-session-store.ts'
import { pruneEvents } from './pruning.ts'
import { PgRateStore } from './rate-store.ts'
import { Receipts } from './receipts.ts'
import { PgRequestStore } from './request-store.ts'
import type { Tables } from './schema.ts'
import { PgSessionStore } from './session-store.ts'
import { PgTicketStore } from './ticket-store.ts'
import { guarded } from './unavailable.ts'
import { PgUserStore } from './user-store.ts'

export interface Stores {
  readonly sessions: SessionStore
  readonly requests: RequestStore
  readonly log: EventLog
  readonly pruning: EventPruning
  readonly deliveries: DeliveryStore
  readonly cards: CardStore
  readonly invitations: InvitationStore
  readonly callbacks: CallbackStore
  readonly contacts: ContactStore
  readonly addresses: AddressStore
  readonly rates: RateStore
  readonly users: UserStore
  readonly keys: KeyStore & AuthorizationStore
  readonly tickets: TicketStore
  readonly approvals: ApprovalStore
  readonly checkpoints: CheckpointStore
  readonly mcpSessions: McpSessionStore
  /** Resolves when the database answers. */
  ping(): Promise<void>
  countActiveSessions(): Promise<number>
}

/**
 * The stores of one start of the server: what it appends carries a name that no other start has.
 * Without a signer nothing that is settled has a receipt.
 */
export function createStores(db: Kysely<Tables>, signer?: ReceiptSigner): Stores {
  const receipts = new Receipts(signer)
  const boot = randomBytes(6).toString('hex')
  const deliveries = guarded(new PgDeliveryStore(db, boot))
  const keys = new PgKeyStore(db)
  return guarded({
    sessions: guarded(new PgSessionStore(db, boot)),
    requests: guarded(new PgRequestStore(db, boot, receipts)),
    log: guarded(new PgEventLog(db, receipts)),
    pruning: guarded({ prune: (days, from) => pruneEvents(db, days, from) }),
    deliveries,
    cards: deliveries,
    invitations: guarded(new PgInvitationStore(db)),
    callbacks: guarded(new PgCallbackStore(db, receipts)),
    addresses: guarded(new PgAddressStore(db, deliveries)),
    rates: guarded(new PgRateStore(db)),
    contacts: guarded(new PgContactStore(db)),
    users: guarded(new PgUserStore(db)),
    keys: guarded(keys),
    tickets: guarded(new PgTicketStore(db, keys)),
    approvals: guarded(new PgApprovalStore(db)),
    checkpoints: guarded(new PgCheckpointStore(db)),
    mcpSessions: guarded(new PgMcpSessionStore(db)),
    async ping() {
      await sql`SELECT 1`.execute(db)
    },
    async countActiveSessions() {
      const { count } = await db
        .selectFrom('sessions')
        .select(sql<number>`count(*)`.as('count'))
        .where('active', '=', true)
        .executeTakeFirstOrThrow()
      return count
    },
  })
}
