import * as z from 'zod'

export const MODES = ['polling', 'webhook'] as const

export interface TelegramSettings {
  readonly token: string
  /** Undefined: Telegram's own. */
  readonly apiRoot: string | undefined
  /** Undefined: long polling. */
  readonly webhook: { readonly url: string; readonly secret: string } | undefined
}

const url = z.string().refine((text) => URL.canParse(text) && /^https?:/.test(text), {
  error: 'must look like https://api.telegram.org',
})

/**
 * The channel's variables. Without a token it is off.
 *
 * Webhook mode without a secret would take decisions from whoever finds the route, so it is refused.
 */
export const settings = z
  .object({
    TELEGRAM_BOT_TOKEN: z.string().optional(),
    TELEGRAM_API_ROOT: url.transform((text) => text.replace(/\/+$/, '')).optional(),
    TELEGRAM_MODE: z.enum(MODES, { error: 'must be polling or webhook' }).default('polling'),
    // Bot API, setWebhook: 1-256 characters A-Z, a-z, 0-9, _ and -. Short ones can be guessed.
    TELEGRAM_WEBHOOK_SECRET: z
      .string()
      .regex(/^[A-Za-z0-9_-]{32,256}$/, {
        error: 'must be 32 to 256 characters of A-Z, a-z, 0-9, _ and -',
      })
      .optional(),
    PUBLIC_URL: z.string().optional(),
  })
  .superRefine((env, context) => {
    if (env.TELEGRAM_MODE !== 'webhook') return
    const needed = (name: 'PUBLIC_URL' | 'TELEGRAM_WEBHOOK_SECRET') => {
      if (env[name] === undefined) {
        context.addIssue({
          code: 'custom',
          path: [name],
          message: 'is needed with TELEGRAM_MODE=webhook',
        })
      }
    }
    needed('PUBLIC_URL')
    needed('TELEGRAM_WEBHOOK_SECRET')
  })
  .transform((env): TelegramSettings | undefined => {
    const { TELEGRAM_BOT_TOKEN: token, TELEGRAM_WEBHOOK_SECRET: secret, PUBLIC_URL: base } = env
    if (token === undefined) return undefined
    const isWebhook = env.TELEGRAM_MODE === 'webhook' && secret !== undefined && base !== undefined
    return {
      token,
      apiRoot: env.TELEGRAM_API_ROOT,
      webhook: isWebhook
        ? { url: `${base.replace(/\/+$/, '')}${WEBHOOK_PATH}`, secret }
        : undefined,
    }
  })

export const WEBHOOK_PATH = '/telegram/webhook'
