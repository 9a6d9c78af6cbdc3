import type { ReceiptSigner } from '../core/receipt.ts'
import type { HitlRequest } from '../core/request.ts'
import { type SealColumns, toSeal } from './rows.ts'

/** Puts receipts on what agents are shown. Without a signer there are none. */
export class Receipts {
  readonly #signer: ReceiptSigner | undefined

  constructor(signer: ReceiptSigner | undefined) {
    this.#signer = signer
  }

  /** What the statement that settles is to write down; null makes no receipt. */
  issuer(): string | null {
    return this.#signer?.issuer() ?? null
  }

  /** The same request or event, with the receipt if it is settled. */
  async on<Settled extends HitlRequest>(settled: Settled, row: SealColumns): Promise<Settled> {
    const seal = settled.state.status === 'pending' ? undefined : toSeal(row)
    if (!this.#signer || !seal) return settled
    const receipt = await this.#signer.sign(settled, seal)
    return { ...settled, state: { ...settled.state, receipt } }
  }
}
