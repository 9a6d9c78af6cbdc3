import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { ApiKey, AuthorizationStore, HeldBy, KeyStore, NewApiKey } from '../core/account.ts'
import { invalid, LoopgateError } from '../core/errors.ts'
import type { Agent } from '../core/principal.ts'
import { isUuid } from './rows.ts'
import type { Tables } from './schema.ts'

/** Keys of one user that are not revoked. */
const MAX_KEYS = 1_000

const IS_ACTIVE = sql<boolean>`
  api_keys.revoked_at IS NULL
  AND (api_keys.expires_at IS NULL OR api_keys.expires_at > clock_timestamp())`

const COLUMNS = [
  'id',
  'prefix',
  'label',
  'may_register',
  'created_at',
  'expires_at',
  'last_used_at',
] as const

export class PgKeyStore implements KeyStore, AuthorizationStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async create(tenant: string, key: NewApiKey): Promise<ApiKey> {
    const { count, isOver } = await this.#db
      .selectFrom('api_keys')
      .select([
        sql<number>`count(*)`.as('count'),
        sql<boolean>`coalesce(${key.expiresAt}::timestamptz <= clock_timestamp(), false)`.as(
          'isOver',
        ),
      ])
      .where('user_id', '=', tenant)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow()
    if (isOver) throw invalid('/expires_at', 'must be in the future')
    if (count >= MAX_KEYS) {
      throw new LoopgateError('FORBIDDEN', `a user has at most ${MAX_KEYS} keys; revoke some`)
    }
    const row = await this.#db
      .insertInto('api_keys')
      .values({
        id: randomUUID(),
        user_id: tenant,
        digest: key.digest,
        prefix: key.prefix,
        label: key.label,
        may_register: key.mayRegister,
        expires_at: key.expiresAt,
      })
      .returning([...COLUMNS, IS_ACTIVE.as('is_active')])
      .executeTakeFirstOrThrow()
    return toApiKey(row)
  }

  async list(tenant: string): Promise<ApiKey[]> {
    if (!isUuid(tenant)) return []
    const rows = await this.#db
      .selectFrom('api_keys')
      .select([...COLUMNS, IS_ACTIVE.as('is_active')])
      .where('user_id', '=', tenant)
      .orderBy('is_active', 'desc')
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .limit(2 * MAX_KEYS)
      .execute()
    return rows.map(toApiKey)
  }

  async revoke(tenant: string, id: string): Promise<boolean> {
    if (!isUuid(tenant) || !isUuid(id)) return false
    const { numUpdatedRows } = await this.#db
      .updateTable('api_keys')
      .set({ revoked_at: sql<Date>`coalesce(revoked_at, clock_timestamp())` })
      .where('user_id', '=', tenant)
      .where('id', '=', id)
      .executeTakeFirst()
    return numUpdatedRows > 0n
  }

  findByDigest(digest: string): Promise<Agent | undefined> {
    return this.#find('digest', digest)
  }

  async findById(id: string): Promise<Agent | undefined> {
    return isUuid(id) ? this.#find('id', id) : undefined
  }

  async used(uses: Parameters<KeyStore['used']>[0]): Promise<void> {
    const [ids, agos] = [uses.map(({ id }) => id), uses.map(({ agoMs }) => agoMs)]
    await sql`
      UPDATE api_keys SET last_used_at = GREATEST(
        last_used_at, clock_timestamp() - used.ago_ms * interval '1 millisecond')
      FROM unnest(${ids}::uuid[], ${agos}::float8[]) AS used (id, ago_ms)
      WHERE api_keys.id = used.id`.execute(this.#db)
  }

  async ended({ keys, users }: HeldBy): Promise<HeldBy> {
    const { rows } = await sql<{ id: string; is_key: boolean }>`
      SELECT held.id, true AS is_key FROM unnest(${keys}::uuid[]) AS held (id)
      WHERE NOT EXISTS (
        SELECT FROM api_keys WHERE api_keys.id = held.id AND ${IS_ACTIVE})
      UNION ALL
      SELECT held.id, false FROM unnest(${users}::uuid[]) AS held (id)
      WHERE NOT EXISTS (SELECT FROM users WHERE users.id = held.id)`.execute(this.#db)
    return {
      keys: rows.flatMap(({ id, is_key }) => (is_key ? [id] : [])),
      users: rows.flatMap(({ id, is_key }) => (is_key ? [] : [id])),
    }
  }

  async #find(column: 'id' | 'digest', value: string): Promise<Agent | undefined> {
    const row = await this.#db
      .selectFrom('api_keys')
      .select(['id', 'user_id', 'may_register', 'expires_at'])
      .where(column, '=', value)
      .where(IS_ACTIVE)
      .executeTakeFirst()
    return (
      row && {
        type: 'agent',
        tenant: row.user_id,
        id: row.id,
        mayRegister: row.may_register,
        until: row.expires_at ?? undefined,
      }
    )
  }
}

interface KeyRow {
  readonly id: string
  readonly prefix: string
  readonly label: string | null
  readonly may_register: boolean
  readonly created_at: Date
  readonly expires_at: Date | null
  readonly last_used_at: Date | null
  readonly is_active: boolean
}

function toApiKey(row: KeyRow): ApiKey {
  return {
    id: row.id,
    prefix: row.prefix,
    label: row.label,
    mayRegister: row.may_register,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    isActive: row.is_active,
  }
}
