/** What a test may have a server's hook do to its process. */

/** A step of the server, after which or before which it dies. */
export type Step =
  /** A statement with this text and, if said, this value; with `commit`, the end of its transaction. */
  | { readonly of: 'sql'; readonly text: string; readonly value?: string; readonly commit?: true }
  /** A call of the Bot API. */
  | { readonly of: 'telegram'; readonly method: string }
  /** A post to a callback_url. */
  | { readonly of: 'callback' }

export type Order =
  | { readonly type: 'die'; readonly when: 'before' | 'after'; readonly step: Step }
  /** From now on this process's wall clock is so far off. */
  | { readonly type: 'clock'; readonly aheadMs: number }
  /** Nothing happens in this process for so long. */
  | { readonly type: 'block'; readonly ms: number }

/** What it says in its log when it dies at a step. */
export const lastWords = (when: string, step: Step): string =>
  `died ${when} ${JSON.stringify(step)}`
