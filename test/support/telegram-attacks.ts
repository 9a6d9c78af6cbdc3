import { afterAll, beforeAll, expect } from 'vitest'
import {
  type Asked,
  dataOf,
  type Line,
  type Scene,
  type SceneOptions,
  type Somebody,
} from '../integration/telegram/scene.ts'
import { openWatchedScene, type WatchedServer } from './hardening.ts'
import type { FakeAct, FakePress, StoredMessage } from './telegram/telegram.ts'

/** Ann, who reviews in her private chat; Eve, who does not; and everything that is watched. */
export interface Stage {
  readonly scene: Scene
  readonly server: WatchedServer
  readonly ann: Somebody
  readonly eve: Somebody
  readonly line: Line
}

/** Opened before the tests of a file, and closed after them. */
export function stage(options: () => SceneOptions | Promise<SceneOptions> = () => ({})) {
  let opened: Stage | undefined
  beforeAll(async () => {
    const { scene, server } = await openWatchedScene(await options())
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    opened = { scene, server, ann, eve, line: await scene.line(ann.id) }
  })
  afterAll(() => opened?.scene[Symbol.asyncDispose]())
  return () => {
    if (!opened) throw new Error('the stage is not open')
    return opened
  }
}

/** Any press at all on a card, as a custom client sends it. */
export function press(
  { scene }: Stage,
  user: Somebody,
  { card }: Asked,
  data: string,
  extra: object = {},
): FakePress {
  const { chat, message_id: messageId } = card
  return scene.tg.press({ user, chat, messageId, data, extra: { ...extra } })
}

/** What the button at this place carries. */
export const dataAt = ({ card }: Pick<Asked, 'card'>, i = 0): string => dataOf(card)[i] ?? ''

/** Each of the presses gets an alert that says why, and nothing came of it: not even on the card. */
export async function expectIgnored(
  { scene, server }: Stage,
  { card }: Asked,
  reason: RegExp,
  presses: readonly (() => FakePress)[],
): Promise<void> {
  const shown = () => scene.tg.message(card.chat, card.message_id)
  const before = shown()
  await server.attack(async () => {
    for (const make of presses) {
      expect(await make().answer).toEqual({
        text: expect.stringMatching(reason),
        show_alert: true,
      })
    }
  })
  expect(shown()).toEqual(before)
}

/** The message was handled; what the bot said to it, if anything. */
export async function heard({ scene }: Stage, act: FakeAct): Promise<string | undefined> {
  await act.confirmed
  return answersTo(scene, act)[0]?.text
}

/** What the bot says to a message. */
export async function said({ scene }: Stage, { message }: FakeAct): Promise<string> {
  const { text } = await scene.tg.waitForMessage(
    message.chat,
    ({ reply_to_message }) => reply_to_message?.message_id === message.message_id,
  )
  return text ?? ''
}

const answersTo = ({ tg }: Scene, { message }: FakeAct): StoredMessage[] =>
  tg
    .messages(message.chat)
    .filter(({ reply_to_message }) => reply_to_message?.message_id === message.message_id)
