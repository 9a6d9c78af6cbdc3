import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Line, Scene, type Somebody } from './scene.ts'

/** The rules of "which answers approve" (contract, section 2), by real presses and replies. */

type Outcome = 'approved' | 'rejected' | 'answered'
type Option = string | { label: string; effect: 'approve' | 'reject' | 'other' }

const STYLES = { approved: 'success', rejected: 'danger', answered: undefined }

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open({ database: 'memory' })
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

const labelOf = (option: Option): string => (typeof option === 'string' ? option : option.label)

async function pressOn(options: readonly Option[], label: string) {
  const asked = await scene.ask(line, { options })
  return { asked, view: await scene.decide(ann, asked, label) }
}

async function replyOn(fields: object, text: string) {
  const asked = await scene.ask(line, fields)
  scene.tg.reply({ user: ann, replyTo: asked.card, text })
  return scene.settled(asked.id)
}

const says = (outcome: Outcome, response: string) => ({
  status: 'completed',
  completed: true,
  outcome,
  approved: outcome === 'approved',
  response,
  decided_by: { channel: 'telegram', id: String(ann.id), name: 'Ann' },
})

/** Options, and what each of them is to mean. */
const LISTS: readonly { options: readonly Option[]; outcomes: readonly Outcome[] }[] = [
  {
    options: ['🚀 Deploy', '⏸️ Hold', '🔍 Review First'],
    outcomes: ['approved', 'rejected', 'answered'],
  },
  { options: ['No', 'Yes'], outcomes: ['rejected', 'approved'] },
  {
    options: ['Deploy', 'Cancel', 'Deploy to Staging First'],
    outcomes: ['approved', 'rejected', 'answered'],
  },
  { options: ['Ship it', 'Cancel'], outcomes: ['approved', 'rejected'] },
  { options: ['Flag', 'Approve', 'Needs Review'], outcomes: ['answered', 'approved', 'answered'] },
  {
    options: ['Review First', 'Deploy now', 'Cancel'],
    outcomes: ['answered', 'answered', 'rejected'],
  },
  { options: ['Nein', 'Ja'], outcomes: ['answered', 'answered'] },
  {
    options: [
      { label: 'Nein', effect: 'reject' },
      { label: 'Ja', effect: 'approve' },
    ],
    outcomes: ['rejected', 'approved'],
  },
  {
    options: [
      { label: 'Yes', effect: 'other' },
      { label: 'Approve', effect: 'reject' },
      { label: 'Later', effect: 'approve' },
    ],
    outcomes: ['answered', 'rejected', 'approved'],
  },
  { options: ['⏸️ Hold'], outcomes: ['rejected'] },
  { options: ['Reject '], outcomes: ['rejected'] },
  { options: ['Reject', 'Nothing to lose'], outcomes: ['rejected', 'answered'] },
  { options: ['Notify', 'Holding pattern'], outcomes: ['answered', 'answered'] },
  { options: ['ＹＥＳ!', 'ＮＯ.'], outcomes: ['approved', 'rejected'] },
  { options: ['OK', 'Yes', 'Approve'], outcomes: ['approved', 'answered', 'answered'] },
]

const PRESSES = LISTS.flatMap(({ options, outcomes }) =>
  options.map((option, i) => ({
    options,
    list: options.map(labelOf).join(' | '),
    label: labelOf(option),
    outcome: outcomes[i] ?? 'answered',
  })),
)

describe('a press', () => {
  test.for(PRESSES)('of "$label" in "$list" is $outcome', async ({ options, label, outcome }) => {
    const { asked, view } = await pressOn(options, label)
    expect(view).toMatchObject(says(outcome, label))
    expect(asked.view).toMatchObject({ request_type: 'choice', status: 'pending', outcome: null })
  })

  test.for(LISTS)(
    'shows what it will mean by its color: $options',
    async ({ options, outcomes }) => {
      const { card } = await scene.ask(line, { options })
      const buttons = (card.reply_markup?.inline_keyboard ?? []).map(([button]) => button)
      expect(buttons.map((button) => button?.text.trim())).toEqual(
        options.map((option) => labelOf(option).trim()),
      )
      expect(buttons.map((button) => button?.style)).toEqual(
        outcomes.map((outcome) => STYLES[outcome]),
      )
    },
  )

  test.for([
    ...[
      'no',
      'CANCEL',
      'Reject it',
      'deny',
      'Decline…',
      'hold',
      'Stop!',
      'abort',
      "don't",
      'Don’t',
    ],
    ...['do not deploy', 'never ever', '❌ No'],
  ])('of "%s" refuses', async (label) => {
    const { view } = await pressOn(['Approve', label], label)
    expect(view).toMatchObject(says('rejected', label))
  })

  test.for([
    ...['wait', 'Later', 'maybe', 'Review', 'needs review', 'Ask Bob', 'escalate', '🤔 more info'],
  ])('of "%s" neither approves nor refuses', async (label) => {
    const { view } = await pressOn([label, 'No'], label)
    expect(view).toMatchObject(says('answered', label))
  })

  test.for([
    ...['yes', 'ok', 'Approve', 'allow', 'confirm', 'ACCEPT', 'proceed', 'execute', 'Go', 'deploy'],
    ...['✅ Yes', 'yes, approve!'],
  ])('of "%s" approves, wherever it stands', async (label) => {
    const { view } = await pressOn(['Something else', 'No', label], label)
    expect(view).toMatchObject(says('approved', label))
  })

  test('can not be made to approve by declaring it of a label that reads as a refusal', async () => {
    const { status, body } = await scene.app.post<object>('/hitl/request', {
      ...line,
      message: 'Deploy?',
      options: [{ label: '⛔ Deny', effect: 'approve' }, 'Yes'],
    })
    expect([status, body.code]).toEqual([400, 'INVALID_INPUT'])
  })
})

describe('a reply to a confirmation', () => {
  test.for<[string, Outcome]>([
    ['yes', 'approved'],
    ['Yes!', 'approved'],
    ['👍 ok', 'approved'],
    ['go ahead', 'approved'],
    ['LGTM', 'approved'],
    ['no', 'rejected'],
    ['No.', 'rejected'],
    ['don’t', 'rejected'],
    ['No way', 'rejected'],
    ['yes, but only to staging', 'answered'],
    ['no problem', 'answered'],
    ['not sure', 'answered'],
    ['yes no', 'answered'],
    ['👍', 'answered'],
    ['ja', 'answered'],
    ['да', 'answered'],
  ])('"%s" is %s', async ([text, outcome]) => {
    expect(await replyOn({}, text)).toMatchObject({
      request_type: 'confirmation',
      ...says(outcome, text),
    })
  })
})

describe('a reply to a question for input', () => {
  test.for(['yes', 'no', 'Use the blue one', '42'])(
    '"%s" is an answer and no more',
    async (text) => {
      const view = await replyOn({ request_type: 'input' }, text)
      expect(view).toMatchObject({ request_type: 'input', ...says('answered', text) })
    },
  )
})
