import { describe } from 'vitest'
import { accountContract } from './store-accounts.suite.ts'
import { addressContract } from './store-addresses.suite.ts'
import { auditContract } from './store-audit.suite.ts'
import { callbackContract } from './store-callbacks.suite.ts'
import { cardWorkContract } from './store-card-work.suite.ts'
import { cardContract } from './store-cards.suite.ts'
import { contactContract } from './store-contacts.suite.ts'
import { cursorContract } from './store-cursors.suite.ts'
import { deliveryContract } from './store-deliveries.suite.ts'
import type { StoreKind } from './store-harness.ts'
import { invitationContract } from './store-invitations.suite.ts'
import { logContract } from './store-log.suite.ts'
import { mcpSessionContract } from './store-mcp-sessions.suite.ts'
import { pruningContract } from './store-pruning.suite.ts'
import { rateContract } from './store-rates.suite.ts'
import { receiptContract } from './store-receipts.suite.ts'
import { sessionContract } from './store-sessions.suite.ts'
import { settleContract } from './store-settle.suite.ts'
import { submitContract } from './store-submit.suite.ts'

/** What the stores must do, on every database. */
export function storeContract(kind: StoreKind): void {
  describe(`the stores on ${kind.name}`, () => {
    sessionContract(kind)
    mcpSessionContract(kind)
    submitContract(kind)
    settleContract(kind)
    logContract(kind)
    cursorContract(kind)
    pruningContract(kind)
    deliveryContract(kind)
    cardWorkContract(kind)
    cardContract(kind)
    contactContract(kind)
    addressContract(kind)
    rateContract(kind)
    invitationContract(kind)
    accountContract(kind)
    callbackContract(kind)
    receiptContract(kind)
    auditContract(kind)
  })
}
