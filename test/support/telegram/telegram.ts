import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Chat, UserFromGetMe } from '@grammyjs/types'
import { FakeAct, FakePress } from './acts.ts'
import { Api } from './api.ts'
import { CallLog, type FakeCall } from './calls.ts'
import { type ChatRef, type GroupOptions, idOf, type MemberStatus, type UserRef } from './chats.ts'
import { createWorld, type WorldOptions } from './create-world.ts'
import { type Fault, type FaultOptions, Faults } from './faults.ts'
import type { StoredMessage } from './messages.ts'
import { People, type Pressing, type Writing } from './people.ts'
import type { Violation } from './rates.ts'
import type { QueuedUpdate } from './updates.ts'
import type { Fields } from './values.ts'
import type { Waiters, WaitOptions } from './waiters.ts'
import type { WebhookAttempt } from './webhook.ts'
import type { World } from './world.ts'

export type { FakeAct, FakePress } from './acts.ts'
export type { CallOutcome, FakeCall } from './calls.ts'
export type { ChatRef, FakeUser, GroupOptions, MemberStatus, UserRef } from './chats.ts'
export type { Fault, FaultMode, FaultOptions } from './faults.ts'
export type { StoredMessage } from './messages.ts'
export type { Pressing, Writing } from './people.ts'
export type { PressAnswer } from './presses.ts'
export type { Violation } from './rates.ts'
export type { Fate, QueuedUpdate } from './updates.ts'
export type { WaitOptions } from './waiters.ts'
export type { WebhookAttempt } from './webhook.ts'

const KEEP_ALIVE_MS = 120_000

export type RouteHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export interface FakeTelegramOptions extends WorldOptions {
  readonly token?: string
  readonly port?: number
  /** How long the `waitFor…` promises wait; 10 s unless given. */
  readonly waitMs?: number
  /** How many calls are remembered at least; all of them unless given. */
  readonly callLogLimit?: number
  /** Serves every path below `/sim/`. */
  readonly control?: (fake: FakeTelegram) => RouteHandler
}

/** A Bot API server with one bot, as strict as Telegram's and with people a test can play. */
export class FakeTelegram implements AsyncDisposable {
  readonly token: string
  readonly #world: World
  readonly #calls: CallLog
  readonly #faults = new Faults()
  readonly #people: People
  readonly #server: Server
  readonly #waitMs: number
  #apiRoot = ''

  private constructor(options: FakeTelegramOptions) {
    const botId = 7_000_000_000 + Math.floor(Math.random() * 900_000_000)
    this.token = options.token ?? `${botId}:AA${'FakeTelegram'.repeat(3).slice(0, 33)}`
    this.#waitMs = options.waitMs ?? 10_000
    this.#calls = new CallLog(options.callLogLimit ?? Number.MAX_SAFE_INTEGER)
    this.#world = createWorld(this.token, options, (body, contentType) => {
      void api.runReply(body, contentType)
    })
    const api = new Api({
      token: this.token,
      world: this.#world,
      calls: this.#calls,
      faults: this.#faults,
    })
    this.#people = new People(this.#world)
    const control = options.control?.(this)
    this.#server = createServer((request, response) => {
      const toControl = control && request.url?.startsWith('/sim/')
      void (toControl ? control(request, response) : api.handle(request, response))
    })
    // Idle connections outlive any pause in a test, so that no client meets one just being closed.
    this.#server.keepAliveTimeout = KEEP_ALIVE_MS
  }

  static async start(options: FakeTelegramOptions = {}): Promise<FakeTelegram> {
    const fake = new FakeTelegram(options)
    const listening = Promise.withResolvers<void>()
    fake.#server.once('error', listening.reject)
    fake.#server.listen(options.port ?? 0, '127.0.0.1', listening.resolve)
    await listening.promise
    fake.#apiRoot = `http://127.0.0.1:${(fake.#server.address() as AddressInfo).port}`
    return fake
  }

  /** Closes every socket and timer and rejects what is still awaited. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { poller, webhook, queue, messages, presses, clock } = this.#world
    for (const part of [poller, webhook, queue, messages, presses, clock]) part.close()
    this.#calls.stop()
    const closed = Promise.withResolvers<void>()
    this.#server.close(() => closed.resolve())
    this.#server.closeAllConnections()
    await closed.promise
  }

  /** Where clients find it, without a slash at the end. */
  get apiRoot(): string {
    return this.#apiRoot
  }

  get botId(): number {
    return this.#world.chats.bot.id
  }

  get bot(): UserFromGetMe {
    return this.#world.chats.bot
  }

  /** Telegram's time in milliseconds. */
  get now(): number {
    return this.#world.clock.now()
  }

  /** Moves Telegram's time; retries that come due happen at once. */
  advance(ms: number): void {
    this.#world.clock.advance(ms)
  }

  // People and chats

  /** A person who has started the bot. */
  privateChat(user: UserRef): Chat.PrivateChat {
    return this.#world.chats.privateChat(user).chat as Chat.PrivateChat
  }

  /** A person the bot knows of but may not write to yet. */
  stranger(user: UserRef): void {
    this.#world.chats.know(user)
  }

  group(options: GroupOptions = {}): Chat.GroupChat | Chat.SupergroupChat {
    return this.#world.chats.group(options).chat as Chat.GroupChat | Chat.SupergroupChat
  }

  setMember(chat: ChatRef, user: UserRef, status: MemberStatus): void {
    const { chats } = this.#world
    chats.setMember(chats.get(chat), user, status)
  }

  /** Someone adds, promotes or removes the bot; it is told by my_chat_member. */
  setBotStatus(chat: ChatRef, by: UserRef, status: MemberStatus): void {
    this.#people.setBotStatus(chat, by, status)
  }

  block(user: UserRef): void {
    this.#people.setBlocked(idOf(user), true)
  }

  unblock(user: UserRef): void {
    this.#people.setBlocked(idOf(user), false)
  }

  deactivate(user: UserRef): void {
    this.#world.chats.deactivate(idOf(user))
  }

  /** The group becomes a supergroup with a new id, its people and none of its messages. */
  migrate(chat: ChatRef): Chat {
    return this.#people.migrate(chat)
  }

  // What people do

  send(writing: Writing): FakeAct {
    const { made, update } = this.#people.write(writing)
    return new FakeAct(made, update, this.#watch())
  }

  reply(writing: Writing & { readonly replyTo: number | { message_id: number } }): FakeAct {
    const { replyTo } = writing
    const messageId = typeof replyTo === 'number' ? replyTo : replyTo.message_id
    const chatId = idOf(writing.chat ?? writing.user)
    const target = this.#world.messages.current(chatId, messageId)
    if (!target) throw new Error(`no message ${messageId} to reply to in chat ${chatId}`)
    const { made, update } = this.#people.write(writing, target)
    return new FakeAct(made, update, this.#watch())
  }

  editMessage(writing: Writing & { readonly messageId: number }): FakeAct {
    const { made, update } = this.#people.edit(writing, writing.messageId)
    return new FakeAct(made, update, this.#watch())
  }

  /** Any data at all, as a custom client can send it; `extra` adds or replaces fields of the query. */
  press(pressing: Pressing & { readonly data?: string; readonly extra?: Fields }): FakePress {
    const { made, update } = this.#people.press(pressing, pressing.data, pressing.extra)
    return new FakePress(made, update, this.#watch())
  }

  /** Presses the button with this label; throws when the message has none. */
  pressButton(pressing: Pressing & { readonly label: string }): FakePress {
    return this.press({ ...pressing, data: this.#people.dataOf(pressing, pressing.label) })
  }

  /** Queues an update as it is, with an `update_id` when it has none; returns its place in the queue. */
  raw(update: object): number {
    return this.#world.queue.pushRaw(update as Fields).key
  }

  // What the bot did

  /** The messages of a chat as they are now, without deleted ones. */
  messages(chat: ChatRef): StoredMessage[] {
    return this.#world.messages.list(idOf(chat))
  }

  message(chat: ChatRef, messageId: number): StoredMessage | undefined {
    return this.#world.messages.find(idOf(chat), messageId)
  }

  calls(method?: string): FakeCall[] {
    return this.#calls.list(method)
  }

  /** Calls made although a 429 had told the bot to wait. */
  get violations(): readonly Violation[] {
    return this.#world.rates.violations
  }

  get pendingUpdates(): number {
    return this.#world.queue.pending().length
  }

  /** Updates whose life ended before the bot took them. */
  get vanished(): readonly QueuedUpdate[] {
    return this.#world.queue.vanished
  }

  /** What was posted to the webhook, newest last. */
  get webhookAttempts(): readonly WebhookAttempt[] {
    return this.#world.webhook.attempts
  }

  /** Resolves when a long poll waits for updates. */
  async waitForPoll(options: WaitOptions = {}): Promise<void> {
    const { poller } = this.#world
    if (poller.isWaiting && !options.fresh) return
    await this.#wait(
      poller.started,
      [],
      () => true,
      options,
      'long poll',
      () => {
        return `getUpdates was called ${this.calls('getUpdates').length} times`
      },
    )
  }

  /** Resolves when the bot confirmed every update, or they vanished. */
  async waitForDrain(options: WaitOptions = {}): Promise<void> {
    if (this.pendingUpdates === 0) return
    const isEmpty = () => this.pendingUpdates === 0
    await this.#wait(this.#world.queue.settled, [], isEmpty, options, 'empty queue', () => {
      return `${this.pendingUpdates} updates are pending`
    })
  }

  /** The first POST to the webhook that matches, past or to come. */
  waitForWebhookAttempt(
    matches: (attempt: WebhookAttempt) => boolean = () => true,
    options: WaitOptions = {},
  ): Promise<WebhookAttempt> {
    const { attempts, attempted } = this.#world.webhook
    return this.#wait(attempted, attempts, matches, options, 'webhook attempt', () => {
      return `there were ${JSON.stringify(attempts.slice(-5))}`
    })
  }

  /** The first message of the bot that matches, past or to come. */
  waitForMessage(
    chat: ChatRef,
    matches: (message: StoredMessage) => boolean = () => true,
    options: WaitOptions = {},
  ): Promise<StoredMessage> {
    const { added } = this.#world.messages
    const fits = ofBot(idOf(chat), matches)
    return this.#wait(added, this.messages(chat), fits, options, 'message', () => this.#tell(chat))
  }

  /** The first edit that matches, past or to come, as the message was after it. */
  waitForEdit(
    chat: ChatRef,
    matches: (message: StoredMessage) => boolean = () => true,
    options: WaitOptions = {},
  ): Promise<StoredMessage> {
    const { messages } = this.#world
    const fits = ofBot(idOf(chat), matches)
    const past = messages.edits(idOf(chat))
    return this.#wait(messages.edited, past, fits, options, 'edit', () => this.#tell(chat))
  }

  /** The first finished call that matches, past or to come. */
  waitForCall(
    method: string,
    matches: (call: FakeCall) => boolean = () => true,
    options: WaitOptions = {},
  ): Promise<FakeCall> {
    const name = method.toLowerCase()
    const fits = (call: FakeCall) =>
      call.outcome !== 'pending' && call.method.toLowerCase() === name && matches(call)
    return this.#wait(this.#calls.finished, this.calls(method), fits, options, method, () => {
      const seen = this.calls(method).map((call) => JSON.stringify([call.outcome, call.params]))
      return `${method} was called ${seen.length} times: ${seen.slice(-5).join(' ')}`
    })
  }

  // Faults

  failNext(method: string, options: FaultOptions): Fault {
    return this.#faults.plan(method, options)
  }

  clearFaults(): void {
    this.#faults.clear()
  }

  /** A second instance polls for `ms`: our polls end with 409. */
  conflict(ms: number): void {
    this.#world.poller.rival(ms)
  }

  /** A webhook's updates of the next `ms` come in the other order, as far as chats and people differ. */
  reverse(ms: number): void {
    this.#world.webhook.reverse(ms)
  }

  #watch() {
    const { queue, presses } = this.#world
    return { queue, presses, waitMs: this.#waitMs }
  }

  #tell(chat: ChatRef): string {
    const held = this.messages(chat).map(
      ({ message_id, text, caption }) => `#${message_id} ${JSON.stringify(text ?? caption)}`,
    )
    return `chat ${idOf(chat)} holds ${held.join(', ') || 'nothing'}`
  }

  #wait<T>(
    waiters: Waiters<T>,
    past: readonly T[],
    matches: (item: T) => boolean,
    options: WaitOptions,
    what: string,
    situation: () => string,
  ): Promise<T> {
    const seen = options.fresh ? undefined : past.find(matches)
    if (seen !== undefined) return Promise.resolve(seen)
    const timeoutMs = options.timeoutMs ?? this.#waitMs
    const complain = () => `no such ${what} within ${timeoutMs} ms; ${situation()}`
    return waiters.wait(matches, timeoutMs, complain)
  }
}

function ofBot(chatId: number, matches: (message: StoredMessage) => boolean) {
  return (message: StoredMessage) =>
    message.fromBot && message.chat.id === chatId && matches(message)
}
