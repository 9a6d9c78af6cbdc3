/** The server, as this page talks to it. */

/** @typedef {{ status: number, retryMs: number, body: any }} Answer */

export const TOKEN = 'loopgate.token'
/** The name of whoever signed in with an account. */
export const USER = 'loopgate.user'

const ANSWER_MS = 20_000

/** How far the server's clock is ahead of this one. */
let ahead = 0

/** What the server's clock says. */
export const now = () => Date.now() + ahead

/** Undefined when no answer came. @type {(path: string, body?: object) => Promise<Answer | undefined>} */
export async function call(path, body) {
  const token = sessionStorage.getItem(TOKEN)
  const headers = new Headers(token ? { authorization: `Bearer ${token}` } : {})
  if (body) headers.set('content-type', 'application/json')
  const post = body && { method: 'POST', body: JSON.stringify(body) }
  try {
    const response = await fetch(path, { ...post, headers, signal: AbortSignal.timeout(ANSWER_MS) })
    setClock(response.headers.get('date'))
    const retryMs = Number(response.headers.get('retry-after')) * 1000
    return { status: response.status, retryMs, body: await response.json() }
  } catch {
    return undefined
  }
}

/** The header has whole seconds; a smaller difference is none. @param {string | null} date */
function setClock(date) {
  const difference = Date.parse(date ?? '') - Date.now()
  if (Math.abs(difference - ahead) > 2_000) ahead = difference
}
