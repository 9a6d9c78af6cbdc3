/** A server, as far as its users go. */
export interface Served {
  readonly url: string
}

const PASSWORD = 'only-for-tests'
const users = new WeakMap<Served, Map<string, Promise<string>>>()

/** The id of the user of this name, who is registered when there is none yet. */
export function userOf(server: Served, name: string): Promise<string> {
  const known = users.get(server) ?? new Map<string, Promise<string>>()
  users.set(server, known)
  const user = known.get(name) ?? register(server.url, name)
  known.set(name, user)
  return user
}

async function register(url: string, username: string): Promise<string> {
  const post = async (path: string) => {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ username, password: PASSWORD })
    const response = await fetch(url + path, { method: 'POST', headers, body })
    return (await response.json()) as { user_id?: string; code?: string }
  }
  const made = await post('/api/auth/register')
  const { user_id } = made.code === 'USERNAME_TAKEN' ? await post('/api/auth/login') : made
  if (user_id === undefined) throw new Error(`no user: ${JSON.stringify(made)}`)
  return user_id
}
