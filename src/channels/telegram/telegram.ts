import { type Api, Bot } from 'grammy'
import type { UserFromGetMe } from 'grammy/types'
import { pause } from '../../core/pause.ts'
import type { Candidacy } from '../../core/ports.ts'
import { type Channel, type ChannelContext, defineChannel } from '../channel.ts'
import { Addresses } from './addresses.ts'
import { Attempts } from './attempts.ts'
import { createApis, retryAfterMs, toSignal } from './bot-api.ts'
import { Contact } from './contact.ts'
import { TelegramCourier } from './courier.ts'
import { TelegramIntake } from './intake.ts'
import { type Limits, Pace, TELEGRAM_LIMITS } from './pace.ts'
import { ALLOWED_UPDATES, TelegramPoller } from './poller.ts'
import { References } from './references.ts'
import { TelegramReviewers } from './reviewers.ts'
import { Says } from './says.ts'
import { Sender } from './sender.ts'
import { SentCards } from './sent-cards.ts'
import { settings, type TelegramSettings } from './settings.ts'
import { TelegramState } from './state.ts'
import { addWebhookRoute } from './webhook.ts'

/** The server starts without Telegram when it takes longer than this to reach it. */
const START_MS = 5_000
const MAX_PAUSE_MS = 10_000

const COMMANDS = [
  { command: 'pending', description: 'The questions that are open here' },
  { command: 'status', description: 'The sessions that ask here' },
  { command: 'help', description: 'What this bot does' },
]

/** The channel at a server that takes so much. */
export const telegramWithin = (limits: Limits) =>
  defineChannel<TelegramSettings>({
    name: 'telegram',
    env: settings,
    create: (values, context) => new TelegramChannel(values, context, limits),
  })

/** Cards in private chats and groups, answered by buttons and replies. */
export const telegram = telegramWithin(TELEGRAM_LIMITS)

class TelegramChannel implements Channel {
  readonly name = 'telegram'
  readonly courier: TelegramCourier
  readonly #settings: TelegramSettings
  readonly #context: ChannelContext
  readonly #state: TelegramState
  readonly #api: Api
  readonly #says: Says
  readonly #intake: TelegramIntake
  readonly #poller: TelegramPoller
  readonly #contact: Contact
  #keeping: Promise<void> | undefined
  readonly #stopping = new AbortController()
  #references: References | undefined
  #connecting: Promise<void> | undefined
  #candidacy: Candidacy | undefined

  constructor(values: TelegramSettings, context: ChannelContext, limits: Limits) {
    const { hub, cards, invitations, clock, logger, http } = context
    const { api, pollApi } = createApis(values.token, values.apiRoot)
    const state = new TelegramState(values.webhook ? 'webhook' : 'polling')
    const bot = new Bot(values.token)
    const references = () => this.#knownReferences()
    const reviewers = new TelegramReviewers(api, clock)
    this.#settings = values
    this.#context = context
    this.#state = state
    this.#api = api
    const pace = new Pace(clock, limits)
    const says = new Says({ api, logger, pace, clock })
    const { deliver } = context
    const [botId = ''] = values.token.split(':')
    const rates = limits.overall.everyMs > 0 ? context.rates : undefined
    const sender = new Sender({ pace, rates, botId, clock, deliver })
    const sent = new SentCards()
    const addresses = new Addresses({ addresses: context.addresses, hub, deliver })
    const parts = { hub, cards, invitations, reviewers, references, says, sent, addresses, deliver }
    this.#says = says
    this.#intake = new TelegramIntake(bot, parts)
    const contact = new Contact({ contacts: context.contacts, clock, logger, deliver })
    this.#contact = contact
    const attempts = new Attempts({
      handle: (update) => this.#intake.handle(update),
      logger,
      metrics: context.metrics,
    })
    this.#poller = new TelegramPoller({ api: pollApi, attempts, state, contact, clock, logger })
    this.courier = new TelegramCourier({
      api,
      state,
      references,
      invitations,
      sent,
      sender,
      addresses,
    })
    if (values.webhook) addWebhookRoute(http, values.webhook.secret, attempts)
  }

  async start(): Promise<void> {
    this.#references = new References(await this.#context.secret('telegram references'))
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = this.#context.clock.after(START_MS, resolve)
    this.#connecting = this.#connect()
    await Promise.race([this.#connecting, late])
    cancel()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#connecting
    await this.#candidacy?.stop()
    await this.#keeping
    await this.#says.stop()
  }

  status() {
    return this.#state.status()
  }

  /** Learns who we are, again and again until Telegram answers. Never rejects. */
  async #connect(): Promise<void> {
    const { logger } = this.#context
    for (let failures = 0; !this.#stopping.signal.aborted; failures++) {
      try {
        await this.#begin(await this.#api.getMe(toSignal(this.#stopping.signal)))
        return
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        this.#state.heard(error)
        logger.warn({ err: error }, `telegram: ${this.#state.status().text}`)
        if (this.#state.failure !== undefined) return
        const ms = Math.max(retryAfterMs(error), Math.min(500 * 2 ** failures, MAX_PAUSE_MS))
        await pause(this.#context.clock, ms, this.#stopping.signal)
      }
    }
  }

  async #begin(me: UserFromGetMe): Promise<void> {
    const { webhook } = this.#settings
    this.#intake.identify(me)
    if (webhook) {
      await this.#api.setWebhook(webhook.url, {
        secret_token: webhook.secret,
        allowed_updates: ALLOWED_UPDATES,
      })
      this.#keeping ??= this.#contact.keep(me.id, this.#stopping.signal)
    } else this.#compete(me.id)
    this.#state.reached(me.username)
    this.#context.deliver()
    await this.#candidacy?.tried
    await this.#api.setMyCommands(COMMANDS).catch((error: unknown) => {
      this.#context.logger.info({ err: error }, 'the menu of commands was not set')
    })
  }

  /** One bot has one poller: a second one would make Telegram refuse both, in turns. */
  #compete(botId: number): void {
    this.#candidacy = this.#context.leadership.campaign(`telegram ${botId}`, (ended, lost) =>
      this.#poller.run(botId, ended, lost),
    )
    this.#state.competes(this.#candidacy)
  }

  #knownReferences(): References {
    if (!this.#references) throw new Error('the Telegram channel is not started')
    return this.#references
  }
}
