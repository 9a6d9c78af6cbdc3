/** How long a closing handshake may take before the socket is cut. */
export const CLOSE_MS = 1_000

/** Spreads those who come back over a second. */
export const retryAfterMs = (): number => Math.floor(Math.random() * 1_000)
