import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { FastifyReply, FastifyRequest } from 'fastify'
import * as z from 'zod'
import { isPassing, LoopgateError } from '../../core/errors.ts'
import { LOCAL_TENANT, type Person } from '../../core/principal.ts'
import { parse } from '../../protocol/fields.ts'
import { parseDecision } from '../../protocol/requests.ts'
import { toView } from '../../protocol/view.ts'
import { type Channel, type ChannelContext, defineChannel } from '../channel.ts'

const PARTS = [
  ...['page.css', 'controls.css', 'card.css'],
  ...['page.js', 'account.js', 'card.js', 'dom.js', 'server.js', 'text.js'],
] as const
const TYPES: Readonly<Record<string, string>> = { '.css': 'text/css', '.js': 'text/javascript' }

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const link = z.object({ code: z.string().max(200) })
const params = z.object({ id: z.string() })

/**
 * The browser: the route by which a person decides over HTTP, and a plain page that uses it.
 *
 * People sign in there with an account. In local mode the person at this machine is also known by a
 * one-time code in a link that the server prints, as notebook servers do. An agent on the same machine
 * has no such code, and can not decide.
 */
export const console = defineChannel({
  name: 'console',
  env: z.object({}),
  create(_settings, context): Channel {
    const code = context.isLocalMode ? randomBytes(16).toString('base64url') : undefined
    addDecisionRoute(context)
    addLinkRoute(context, code)
    addPage(context)
    return {
      name: 'console',
      start: async () => undefined,
      stop: async () => undefined,
      status: () => ({
        state: 'on',
        text:
          code === undefined
            ? `${context.address()}/console`
            : `decide in a browser (the link works once): ${context.address()}/console?code=${code}`,
      }),
    }
  },
})

function addDecisionRoute({ http, hub, auth }: ChannelContext): void {
  const person = async (request: FastifyRequest): Promise<Person> => {
    const { headers, socket } = request
    const principal = await auth.identify({ headers, remoteAddress: socket.remoteAddress })
    if (principal.type === 'person') return principal
    throw new LoopgateError('FORBIDDEN', 'only a person decides; an agent can not')
  }
  const persons = new WeakMap<FastifyRequest, Person>()
  http.post(
    '/api/requests/:id/decision',
    {
      onRequest: async (request) => {
        persons.set(request, await person(request))
      },
    },
    async (request) => {
      const decider = persons.get(request)
      if (!decider) throw new LoopgateError('UNAUTHORIZED')
      const { id } = parse(params, request.params)
      return toView(await hub.decide(decider, id, parseDecision(request.body)))
    },
  )
}

/** Spends the code, once. */
function addLinkRoute({ http, auth, issueToken }: ChannelContext, code: string | undefined): void {
  let unspent = code
  http.post('/api/auth/link', async (request) => {
    const given = parse(link, request.body).code
    if (unspent === undefined || !isSame(given, unspent)) {
      const { headers, socket } = request
      const knock = { headers, remoteAddress: socket.remoteAddress }
      return auth.refuse(knock, 'this link is spent or was never valid')
    }
    unspent = undefined
    const token = await issueToken({
      type: 'person',
      tenant: LOCAL_TENANT,
      channel: 'console',
      id: 'local',
      name: 'local reviewer',
    })
    return { token }
  })
}

function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

/** Loading the page spends nothing: its script does, which previewers and scanners do not run. */
function addPage({ http, isLocalMode, mayRegister }: ChannelContext): void {
  const page = textOf('page.html').replace('"AUTH"', isLocalMode ? '"local"' : '"required"')
  http.get('/console', async (_request, reply) => {
    const registration = (await isOpen(mayRegister)) ? '"open"' : '"closed"'
    return show(reply, 'text/html').send(page.replace('"REGISTRATION"', registration))
  })
  for (const name of PARTS) {
    const text = textOf(name)
    const type = TYPES[extname(name)] ?? ''
    http.get(`/console/${name}`, (_request, reply) => show(reply, type).send(text))
  }
}

const textOf = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8')

const show = (reply: FastifyReply, type: string): FastifyReply =>
  reply.type(`${type}; charset=utf-8`).header('content-security-policy', POLICY)

/** While the database is away the page offers what it can: whoever tries is told. */
async function isOpen(mayRegister: () => Promise<boolean>): Promise<boolean> {
  try {
    return await mayRegister()
  } catch (error) {
    if (isPassing(error)) return true
    throw error
  }
}
