import { type Kysely, sql } from 'kysely'
import type { KeyStore, TicketStore } from '../core/account.ts'
import { LOCAL, type Principal } from '../core/principal.ts'
import type { StoredPrincipal, Tables } from './schema.ts'

export class PgTicketStore implements TicketStore {
  readonly #db: Kysely<Tables>
  readonly #keys: Pick<KeyStore, 'findById'>

  constructor(db: Kysely<Tables>, keys: Pick<KeyStore, 'findById'>) {
    this.#db = db
    this.#keys = keys
  }

  async issue(digest: string, principal: Principal, seconds: number): Promise<void> {
    // Whoever issues one sweeps what nobody redeemed.
    await this.#db
      .deleteFrom('tickets')
      .where('expires_at', '<', sql<Date>`clock_timestamp()`)
      .execute()
    await this.#db
      .insertInto('tickets')
      .values({
        digest,
        principal: JSON.stringify(store(principal)),
        expires_at: sql<Date>`clock_timestamp() + make_interval(secs => ${seconds})`,
      })
      .execute()
  }

  async redeem(digest: string): Promise<Principal | undefined> {
    const row = await this.#db
      .deleteFrom('tickets')
      .where('digest', '=', digest)
      .returning(['principal', sql<boolean>`expires_at > clock_timestamp()`.as('holds')])
      .executeTakeFirst()
    return row?.holds ? this.#restore(row.principal) : undefined
  }

  async #restore(stored: StoredPrincipal): Promise<Principal | undefined> {
    switch (stored.type) {
      case 'local':
        return LOCAL
      case 'agent':
        // As the key is now: it may have been revoked meanwhile.
        return this.#keys.findById(stored.id)
      case 'person': {
        const { until, ...person } = stored
        return { ...person, until: until === null ? undefined : new Date(until) }
      }
      default:
        return stored satisfies never
    }
  }
}

function store(principal: Principal): StoredPrincipal {
  switch (principal.type) {
    case 'local':
      return { type: 'local' }
    case 'agent':
      return { type: 'agent', id: principal.id }
    case 'person': {
      const { tenant, channel, id, name, until } = principal
      return { type: 'person', tenant, channel, id, name, until: until?.toISOString() ?? null }
    }
    default:
      return principal satisfies never
  }
}
