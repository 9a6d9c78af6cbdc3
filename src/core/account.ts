import type { Agent, Principal } from './principal.ts'

/** A person with an account. Its id is the tenant of everything that is made under it. */
export interface User {
  readonly id: string
  readonly username: string
}

/** A user as it is made. */
export interface NewUser {
  readonly username: string
  /** What two names have in common that a person takes for the same. */
  readonly usernameKey: string
  /** A PHC string. */
  readonly passwordHash: string
}

/** Who may create a user: everybody, whoever is the first, or nobody. */
export type RegistrationPolicy = 'open' | 'first' | 'closed'

/** Users, each with a name that nobody else has. */
export interface UserStore {
  /**
   * MUST create one user for one `usernameKey`, and with `onlyFirst` one in all, however many are
   * created at once.
   * @throws {LoopgateError} USERNAME_TAKEN, or FORBIDDEN when it is not the first.
   */
  create(user: NewUser, onlyFirst: boolean): Promise<User>
  findByName(usernameKey: string): Promise<(User & { readonly passwordHash: string }) | undefined>
  /** Whether the user is there. Any text is a possible id. */
  has(id: string): Promise<boolean>
  hasAny(): Promise<boolean>
}

/** What is known of a key; the key itself is known to its owner alone. */
export interface ApiKey {
  readonly id: string
  /** What the key begins with. */
  readonly prefix: string
  readonly label: string | null
  readonly mayRegister: boolean
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly lastUsedAt: Date | null
  /** Neither revoked nor expired. */
  readonly isActive: boolean
}

/** A key as it is made; the store sees its SHA-256 alone, in hex. */
export interface NewApiKey extends Pick<ApiKey, 'prefix' | 'label' | 'mayRegister' | 'expiresAt'> {
  readonly digest: string
}

/** A key is revoked or expired by the clock of the database, for all processes at once. */
export interface KeyStore {
  /** @throws {LoopgateError} INVALID_INPUT when it has expired already, FORBIDDEN for one too many. */
  create(tenant: string, key: NewApiKey): Promise<ApiKey>
  /** Active ones first, the newest of each first. */
  list(tenant: string): Promise<ApiKey[]>
  /** False when the tenant has no such key. Revoking twice is revoking. */
  revoke(tenant: string, id: string): Promise<boolean>
  /** Whom an active key lets in. */
  findByDigest(digest: string): Promise<Agent | undefined>
  /** Whom an active key of this id lets in. */
  findById(id: string): Promise<Agent | undefined>
  /** The keys were used so long ago. What is known of a later use stays. */
  used(uses: readonly { readonly id: string; readonly agoMs: number }[]): Promise<void>
}

/** Stands for a principal once, for a short while. */
export interface TicketStore {
  issue(digest: string, principal: Principal, seconds: number): Promise<void>
  /** Spends the ticket. MUST give it to one caller alone, and only while its principal is let in. */
  redeem(digest: string): Promise<Principal | undefined>
}

/** Who is let in for longer than a call, by what must go on to hold. */
export interface HeldBy {
  /** Ids of keys. */
  readonly keys: readonly string[]
  /** Ids of users. */
  readonly users: readonly string[]
}

/** Looks at many at once, by the clock of the database. */
export interface AuthorizationStore {
  /** Those of them that do not hold any more. */
  ended(held: HeldBy): Promise<HeldBy>
}
