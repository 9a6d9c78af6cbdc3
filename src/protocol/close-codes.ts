/**
 * Why the server closes a socket, and whether the client comes back. 3000–3499, 4000–4499 and 1006
 * mean reconnect; 3500–3999 and 4500–4999 mean do not (the ranges are Centrifugo's).
 */
export const CLOSE = {
  /** RFC 6455, section 7.4 and the IANA registry. */
  restart: { code: 1012, reason: 'restart', reconnect: true },
  tooSlow: { code: 3008, reason: 'too slow', reconnect: true },
  notAuthorized: { code: 3500, reason: 'no longer authorized', reconnect: false },
} as const

export type Close = (typeof CLOSE)[keyof typeof CLOSE]
