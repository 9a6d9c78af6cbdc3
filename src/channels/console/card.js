/** A card: our facts first and last, and what the agent wrote in a quote in between. */

import { find, make, makeButton, put } from './dom.js'
import { now } from './server.js'
import { oneLine, visible } from './text.js'

/** @typedef {import('../../protocol/types.ts').RequestView} View */
/** @typedef {{ view: View, root: HTMLElement, isSending: boolean, isInDoubt: boolean }} Card */
/** @typedef {(card: Card, decision: { option: string } | { response: string }) => unknown} Decide */

/** Pixels of what an agent wrote before "Show all"; of one value, so that it hides no other. */
const TALL = 420
const TALL_VALUE = 140
/** Characters of a label that gets a row of its own, and of an answer in one line. */
const WIDE = 24
const LONG = 100
/** Of a card's text, as the server takes it. */
const MAX_SHOWN = 60_000

const EFFECTS = {
  approve: ['Approve', 'approves'],
  reject: ['Refuse', 'refuses'],
  other: ['Answer', 'answers'],
}
/** And what to say where nobody decided. */
const OUTCOMES = {
  approved: ['✅ Approved'],
  rejected: ['⛔ Rejected'],
  answered: ['💬 Answered'],
  expired: ['⌛ Expired', 'nobody answered in time'],
  canceled: ['🚫 Canceled', 'the question was taken back'],
}

/** @param {Card} card @param {Decide} decide */
export function drawCard(card, decide) {
  const { root, view } = card
  root.setAttribute('aria-label', visible(`Question of ${view.client_id}`))
  put(find('.client', root), oneLine(view.client_id))
  put(find('.session', root), oneLine(view.session_id))
  put(find('.message', root), view.message)
  put(find('.id', root), view.request_id)
  showMetadata(root, view.metadata)
  showFailures(root, view)
  if (view.options.length > 0) offerOptions(card, decide)
  else offerText(card, decide)
  showTimeLeft(card)
}

/** @param {HTMLElement} root @param {View['metadata']} metadata */
function showMetadata(root, metadata) {
  const list = find('.metadata', root)
  for (const [key, value] of Object.entries(metadata)) {
    const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
    list.append(make('dt', '', oneLine(key)), make('dd', '', text))
  }
  list.hidden = list.childElementCount === 0
}

/** @param {HTMLElement} root @param {View} view */
export function showFailures(root, { delivery }) {
  const list = find('.failures', root)
  const failed = delivery.filter(({ status }) => status === 'failed')
  const lines = failed.map(({ channel, error = 'no reason given' }) => `${channel}: ${error}`)
  list.replaceChildren(...lines.map((line) => make('li', '', oneLine(`Not delivered by ${line}`))))
  list.hidden = failed.length === 0
}

/** Once it is in the page. @param {Card} card */
export function clampCard({ root }) {
  for (const value of root.querySelectorAll('dd')) clamp(value, TALL_VALUE)
  clamp(find('.message', root), TALL)
  clamp(find('.metadata', root), TALL)
}

/** What is tall is cut, with a button for the rest. @param {HTMLElement} box @param {number} tall */
function clamp(box, tall) {
  if (box.scrollHeight <= tall * 1.2) return
  box.classList.add('cut')
  const length = [...(box.textContent ?? '')].length.toLocaleString('en')
  const more = makeButton('plain more', `Show all ${length} characters`, () => {
    box.classList.remove('cut')
    more.remove()
  })
  box.after(more)
}

/** What the card shows of the question, for the receipt. @param {Card} card */
export function shownOn({ root }) {
  const parts = ['.client', '.session', '.message', '.metadata > *'].flatMap((selector) => [
    ...root.querySelectorAll(selector),
  ])
  const text = parts.map(({ textContent }) => textContent).join('\n')
  return text.length <= MAX_SHOWN ? { shown: text } : {}
}

/** @param {Card} card @param {Decide} decide */
function offerOptions(card, decide) {
  const buttons = card.view.options.map(({ label, effect }) => {
    const [verb, does = ''] = EFFECTS[effect]
    const size = label.length > WIDE ? 'wide' : ''
    const press = () => decide(card, { option: label })
    const button = makeButton(`${effect} ${size}`, oneLine(label), press)
    button.append(make('small', '', does))
    button.setAttribute('aria-label', `${verb}: ${visible(label)}`)
    return button
  })
  find('.options', card.root).append(...buttons)
  find('.text', card.root).remove()
}

/** @param {Card} card @param {Decide} decide */
function offerText(card, decide) {
  const { root, view } = card
  find('.options', root).remove()
  find(view.request_type === 'input' ? '.as-confirmation' : '.as-input', root).remove()
  const box = find('.response', root)
  const send = () => (box.value.trim() ? decide(card, { response: box.value }) : box.focus())
  find('.send', root).addEventListener('click', send)
  box.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send()
  })
}

/** @param {Card} card */
export function showTimeLeft({ view, root }) {
  const seconds = Math.ceil((Date.parse(view.expires_at) - now()) / 1000)
  const element = find('.left', root)
  element.textContent = timeLeft(seconds)
  element.classList.toggle('soon', seconds < 60)
}

/** @param {number} seconds */
function timeLeft(seconds) {
  const minutes = Math.floor(seconds / 60)
  if (seconds <= 0) return 'time is over'
  if (minutes < 60) return `${minutes}:${String(seconds % 60).padStart(2, '0')} left`
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min left`
  return `${Math.floor(minutes / 1440)} days ${Math.floor((minutes % 1440) / 60)} h left`
}

/** @param {Card} card @param {boolean} isLocked @param {string} note */
export function setLocked({ root }, isLocked, note) {
  find('fieldset', root).disabled = isLocked
  put(find('.note', root), note)
}

/** @param {View} view @param {string} by */
export function outcomeLine({ outcome, response, decided_by, timestamp }, by) {
  const [title, otherwise] = OUTCOMES[outcome ?? 'canceled']
  const said = [...oneLine(response ?? '')]
  const what = said.length > LONG ? `${said.slice(0, LONG).join('')}…` : said.join('')
  const who = by || oneLine(decided_by ? `${decided_by.name} (${decided_by.channel})` : '')
  const how = who ? `${what} — by ${who}` : otherwise
  return `${title} — ${how}, ${new Date(timestamp).toLocaleTimeString('en-GB')}`
}
