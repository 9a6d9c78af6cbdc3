import type { WebhookInfo } from '@grammyjs/types'
import { badRequest, Described } from '../errors.ts'
import { POLL_LIMIT_MAX, SECRET_TOKEN_MAX } from '../limits.ts'
import type { Params } from '../params.ts'
import { compact, type Fields, sameJson } from '../values.ts'
import type { WebhookSettings } from '../webhook.ts'
import type { CallContext, World } from '../world.ts'

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])
const PORTS = new Set(['', '443', '80', '88', '8443'])
const CONNECTIONS_DEFAULT = 40
const CONNECTIONS_MAX = 100

export async function getUpdates(
  world: World,
  params: Params,
  { signal }: CallContext,
): Promise<Fields[]> {
  const webhookActive = world.webhook.settings !== undefined
  if (!webhookActive) world.queue.subscribe(params.list('allowed_updates'))
  const updates = await world.poller.poll(
    {
      offset: params.integer('offset'),
      limit: params.has('limit') ? params.integer('limit') : POLL_LIMIT_MAX,
      timeoutSeconds: params.integer('timeout'),
      signal,
    },
    webhookActive,
  )
  return updates.map(({ body }) => body)
}

export function setWebhook(world: World, params: Params): Described {
  const url = params.text('url')
  if (params.flag('drop_pending_updates')) world.queue.drop()
  if (url === '') return removeWebhook(world)
  const settings: WebhookSettings = {
    url: readUrl(url),
    secretToken: readSecretToken(params),
    maxConnections: readMaxConnections(params),
  }
  const subscribed = world.queue.subscription
  world.queue.subscribe(params.list('allowed_updates'))
  const unchanged =
    sameJson(settings, world.webhook.settings) && sameJson(subscribed, world.queue.subscription)
  if (unchanged) return new Described(true, 'Webhook is already set')
  world.poller.interrupt('terminated by setWebhook request')
  world.webhook.set(settings)
  return new Described(true, 'Webhook was set')
}

export function deleteWebhook(world: World, params: Params): Described {
  if (params.flag('drop_pending_updates')) world.queue.drop()
  return removeWebhook(world)
}

export function getWebhookInfo(world: World): WebhookInfo {
  const { settings, lastError } = world.webhook
  return compact<WebhookInfo>({
    url: settings?.url ?? '',
    has_custom_certificate: false,
    pending_update_count: world.queue.pending().length,
    max_connections: settings?.maxConnections,
    ip_address: settings ? '127.0.0.1' : undefined,
    last_error_date: lastError?.date,
    last_error_message: lastError?.message,
    allowed_updates: world.queue.subscription as WebhookInfo['allowed_updates'] | undefined,
  })
}

function removeWebhook(world: World): Described {
  const description = world.webhook.settings ? 'Webhook was deleted' : 'Webhook is already deleted'
  world.webhook.clear()
  return new Described(true, description)
}

/** Telegram takes https on four ports; the fake also takes any address of this machine. */
function readUrl(text: string): string {
  const url = URL.parse(text)
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw badRequest('invalid webhook URL specified')
  }
  if (LOOPBACK.has(url.hostname)) return text
  if (url.protocol !== 'https:') {
    throw badRequest('bad webhook: An HTTPS URL must be provided for webhook')
  }
  if (!PORTS.has(url.port)) {
    throw badRequest('bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443')
  }
  return text
}

function readSecretToken(params: Params): string {
  const token = params.text('secret_token')
  if (token.length > SECRET_TOKEN_MAX) throw badRequest('secret token is too long')
  if (!/^[A-Za-z0-9_-]*$/.test(token)) {
    throw badRequest('secret token contains unallowed characters')
  }
  return token
}

/** Stricter than Telegram, which brings a number out of range back into it without a word. */
function readMaxConnections(params: Params): number {
  if (!params.has('max_connections')) return CONNECTIONS_DEFAULT
  const count = params.integer('max_connections')
  if (count < 1 || count > CONNECTIONS_MAX) {
    throw badRequest('max_connections must be between 1 and 100')
  }
  return count
}
