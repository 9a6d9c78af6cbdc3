/**
 * The console's plain page: what is open, and a person's answer to it.
 *
 * What others wrote gets into the page as text alone, by `put`. A decision is sent once for one
 * press and never repeated by itself; only the list is asked for again.
 */

/** @typedef {import('../../protocol/types.ts').RequestView} View */
/** @typedef {{ view: View, root: HTMLElement, isSending: boolean, isInDoubt: boolean }} Card */
/** @typedef {{ status: number, retryMs: number, body: any }} Answer */

const VISIBLE_MS = 2_000
/** A tab in the background still counts in its title, at leisure. */
const HIDDEN_MS = 15_000
const ANSWER_MS = 20_000
/** After cards moved, presses don't count for so long: they were meant for what was there before. */
const MOVED_MS = 400
const TOAST_MS = 6_000
const KEPT = 20
/** Pixels of what an agent wrote before "Show all". */
const TALL = 420
/** Characters of a label that gets a row of its own, and of an answer in one line. */
const WIDE = 24
const LONG = 100
const TOKEN = 'loopgate.token'

const UNREACHABLE = "The server can't be reached. Nothing was sent; trying again."
const IN_DOUBT = "The server didn't answer. Whether your answer arrived shows here when it is back."
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

/** @type {Map<string, Card>} */
const cards = new Map()
/** @type {Set<string>} */
const settled = new Set()
/** @type {Record<string, number>} */
const timers = {}
/** How far the server's clock is ahead of this one. */
let ahead = 0
let isRefreshing = false
let isRefreshWanted = false

/** @type {(selector: string, root?: ParentNode) => any} */
const find = (selector, root = document) => root.querySelector(selector)

/** @type {(name: string, ms: number, act: () => unknown) => void} */
function later(name, ms, act) {
  clearTimeout(timers[name])
  timers[name] = window.setTimeout(act, ms)
}

// ---- What others wrote, by the rules of ../render.ts, with our marks set apart by style ----

const UNSEEN = /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]--[\n\t]]/v
const EACH_UNSEEN = new RegExp(UNSEEN, 'gv')
/** Joiners and selectors are right inside an emoji, and only there. */
const EMOJI = /^\p{RGI_Emoji}$/v
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** NUL is unseen, so that none is left in the text when it separates the marks from it. */
const mark = (/** @type {string} */ text) => `\0⟨${text}⟩\0`

/** @param {string} char */
const codePoint = (char) =>
  mark(`U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`)

/** @param {string} text */
const reveal = (text) =>
  Array.from(graphemes.segment(text), ({ segment }) =>
    EMOJI.test(segment) ? segment : segment.replace(EACH_UNSEEN, codePoint),
  )
    .join('')
    .replace(
      /(\0⟨U[^⟩]+⟩\0)\1{3,}/gu,
      (run, one) => one + mark(`${run.length / one.length - 1} more`),
    )

/** Every second part is a mark of ours: for what is not seen, or too many blanks. @param {string} text */
function partsOf(text) {
  const lines = text.replace(/\r\n?/g, '\n').replaceAll('\t', '    ')
  return (UNSEEN.test(lines) ? reveal(lines) : lines)
    .replace(
      /\n(?:\p{Zs}*\n){3,}/gu,
      (run) => `\n${mark(`${run.split('\n').length - 2} blank lines`)}\n`,
    )
    .replace(/\p{Zs}{41,}/gu, (run) => ` ${mark(`${run.length} spaces`)} `)
    .split('\0')
}

/** So that nothing in it can pass for a line of ours. @param {string} text */
const oneLine = (text) => text.replace(/\r\n?|\n/g, ' ⏎ ')

/** @param {string} text */
const visible = (text) => partsOf(oneLine(text)).join('')

/** @param {Element} element @param {string} text */
function put(element, text) {
  const nodes = partsOf(text).map((part, i) => {
    const node = document.createElement('span')
    node.className = 'mark'
    node.textContent = part
    return i % 2 ? node : part
  })
  element.replaceChildren(...nodes)
}

/** @param {string} tag @param {string} className @param {string} text */
function make(tag, className, text) {
  const element = document.createElement(tag)
  element.className = className
  put(element, text)
  return element
}

/** @param {string} className @param {string} text @param {() => unknown} onPress */
function makeButton(className, text, onPress) {
  const button = make('button', className, '')
  button.setAttribute('type', 'button')
  button.append(make('span', '', text))
  button.addEventListener('click', onPress)
  return button
}

// ---- The server ----

/** Undefined when no answer came. @type {(path: string, body?: object) => Promise<Answer | undefined>} */
async function call(path, body) {
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
  const now = Date.parse(date ?? '') - Date.now()
  if (Math.abs(now - ahead) > 2_000) ahead = now
}

/** Spends the code of the link. Previewers and scanners, which run no script, don't. */
async function signIn() {
  const { searchParams, pathname } = new URL(location.href)
  const code = searchParams.get('code')
  if (code !== null) {
    history.replaceState(null, '', pathname)
    await spend(code)
  }
  if (sessionStorage.getItem(TOKEN)) return true
  notice(code === null ? 'no-link' : 'spent')
  return false
}

/** @param {string} code */
async function spend(code) {
  const answer = await call('/api/auth/link', { code })
  if (answer === undefined || answer.status >= 429) {
    banner(answer?.body?.detail ?? UNREACHABLE)
    const ms = Math.max(VISIBLE_MS, answer?.retryMs || 0)
    await new Promise((resolve) => later('spend', ms, () => resolve(spend(code))))
    return
  }
  banner('')
  if (answer.status === 200) sessionStorage.setItem(TOKEN, answer.body.token)
}

function signOut() {
  sessionStorage.removeItem(TOKEN)
  notice('signed-out')
}

/** One at a time; what is wanted meanwhile is asked for afterwards. */
async function refresh() {
  isRefreshWanted = true
  if (isRefreshing) return
  isRefreshing = true
  while (isRefreshWanted && sessionStorage.getItem(TOKEN)) {
    isRefreshWanted = false
    await receive(await call('/hitl/pending'))
  }
  isRefreshing = false
  later('refresh', document.hidden ? HIDDEN_MS : VISIBLE_MS, refresh)
}

/** @param {Answer | undefined} answer */
async function receive(answer) {
  if (answer?.status === 401) return signOut()
  if (answer?.status !== 200) {
    const isInDoubt = [...cards.values()].some((card) => card.isInDoubt)
    return banner(answer?.body?.detail ?? (isInDoubt ? IN_DOUBT : UNREACHABLE))
  }
  banner('')
  /** @type {View[]} */
  const pending = answer.body.pending_requests
  const ids = new Set(pending.map((view) => view.request_id))
  const gone = [...cards.values()].filter((c) => !c.isSending && !ids.has(c.view.request_id))
  for (const view of pending) if (!settled.has(view.request_id)) showOpen(view)
  await Promise.all(gone.map(lookUp))
  showCount()
}

/** Why a card is not in the list any more. @param {Card} card */
async function lookUp(card) {
  const answer = await call(`/hitl/poll?request_id=${card.view.request_id}`)
  if (answer?.status === 200 && answer.body.completed) settle(card, answer.body)
  if (answer?.status === 404) remove(card, false)
}

// ---- A card ----

/** @param {View} view */
function showOpen(view) {
  const card = cards.get(view.request_id)
  if (!card) return addCard(view)
  if (card.isInDoubt) {
    card.isInDoubt = false
    setLocked(
      card,
      false,
      "Your answer doesn't seem to have arrived. Press again if you still want to.",
    )
  }
  if (card.view.cursor !== view.cursor) showFailures(card.root, view)
  card.view = view
}

/** New ones come last: nothing moves under a hand. @param {View} view */
function addCard(view) {
  const root = find('article', find('#card').content.cloneNode(true))
  const card = { view, root, isSending: false, isInDoubt: false }
  cards.set(view.request_id, card)
  root.setAttribute('aria-label', visible(`Question of ${view.client_id}`))
  put(find('.client', root), oneLine(view.client_id))
  put(find('.session', root), oneLine(view.session_id))
  put(find('.message', root), view.message)
  put(find('.id', root), view.request_id)
  showMetadata(root, view.metadata)
  showFailures(root, view)
  if (view.options.length > 0) offerOptions(card)
  else offerText(card)
  find('#open').append(root)
  for (const box of root.querySelectorAll('.message, .metadata')) clamp(box)
  showTimeLeft(card)
  moved()
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
function showFailures(root, { delivery }) {
  const list = find('.failures', root)
  const failed = delivery.filter(({ status }) => status === 'failed')
  const lines = failed.map(({ channel, error = 'no reason given' }) => `${channel}: ${error}`)
  list.replaceChildren(...lines.map((line) => make('li', '', oneLine(`Not delivered by ${line}`))))
  list.hidden = failed.length === 0
}

/** What is tall is cut, with a button for the rest. @param {HTMLElement} box */
function clamp(box) {
  if (box.scrollHeight <= TALL * 1.2) return
  box.classList.add('cut')
  const length = [...(box.textContent ?? '')].length.toLocaleString('en')
  const more = makeButton('plain more', `Show all ${length} characters`, () => {
    box.classList.remove('cut')
    more.remove()
  })
  box.after(more)
}

/** @param {Card} card */
function offerOptions(card) {
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

/** @param {Card} card */
function offerText(card) {
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
function showTimeLeft({ view, root }) {
  const seconds = Math.ceil((Date.parse(view.expires_at) - Date.now() - ahead) / 1000)
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
function setLocked({ root }, isLocked, note) {
  find('fieldset', root).disabled = isLocked
  put(find('.note', root), note)
}

// ---- A decision ----

/** @param {Card} card @param {{ option: string } | { response: string }} decision */
async function decide(card, decision) {
  if (card.isSending || card.isInDoubt) return
  const comment = find('.comment', card.root).value
  card.isSending = true
  setLocked(card, true, 'Sending…')
  const path = `/api/requests/${card.view.request_id}/decision`
  const answer = await call(path, comment.trim() ? { ...decision, comment } : decision)
  card.isSending = false
  receiveDecision(card, answer)
  await refresh()
}

/** @param {Card} card @param {Answer | undefined} answer */
function receiveDecision(card, answer) {
  const { status, body } = answer ?? {}
  card.isInDoubt = status === undefined
  if (status === undefined) return setLocked(card, true, IN_DOUBT)
  if (status === 200) return settle(card, body, 'you')
  if (status === 401) return signOut()
  if (status === 409 && body?.request)
    return settle(card, body.request, '', 'Your answer came too late and did not count.')
  setLocked(card, false, body?.detail ?? `The server refused (${status}).`)
}

/** From open to settled. @param {Card} card @param {View} view @param {string} [by] @param {string} [note] */
function settle(card, view, by = '', note = '') {
  settled.add(view.request_id)
  remove(card, by !== '')
  const line = outcomeLine(view, by)
  const item = make('li', view.outcome ?? '', '')
  item.append(make('strong', '', line), make('q', '', oneLine(view.message)))
  if (view.comment !== null) item.append(make('p', 'said', `Comment: ${view.comment}`))
  const from = oneLine(`${view.client_id}, session ${view.session_id}`)
  item.append(make('p', 'note', note), make('small', '', from))
  const list = find(by ? '#here' : '#elsewhere')
  list.prepend(item)
  while (list.childElementCount > KEPT) list.lastElementChild.remove()
  list.parentElement.hidden = false
  toast(`${line}. ${note}`)
}

/** @param {View} view @param {string} by */
function outcomeLine({ outcome, response, decided_by, timestamp }, by) {
  const [title, otherwise] = OUTCOMES[outcome ?? 'canceled']
  const said = [...oneLine(response ?? '')]
  const what = said.length > LONG ? `${said.slice(0, LONG).join('')}…` : said.join('')
  const who = by || oneLine(decided_by ? `${decided_by.name} (${decided_by.channel})` : '')
  const how = who ? `${what} — by ${who}` : otherwise
  return `${title} — ${how}, ${new Date(timestamp).toLocaleTimeString('en-GB')}`
}

/** The keyboard's place goes to the next card, not to a button on it. @param {Card} card @param {boolean} isMine */
function remove({ view, root }, isMine) {
  const at = document.activeElement
  const isLosingFocus = root.contains(at) || (isMine && at === document.body)
  const next = root.nextElementSibling ?? root.previousElementSibling ?? find('#open')
  cards.delete(view.request_id)
  root.remove()
  if (isLosingFocus) /** @type {HTMLElement} */ (next).focus({ preventScroll: true })
  moved()
  showCount()
}

function moved() {
  const { dataset } = find('#open')
  dataset.moving = ''
  later('moved', MOVED_MS, () => delete dataset.moving)
}

// ---- The page ----

function showCount() {
  const count = cards.size
  document.title = count > 0 ? `(${count}) Loopgate` : 'Loopgate'
  put(find('#count'), count > 0 ? `${count} open` : '')
  find('#empty').hidden = count > 0
}

/** @param {string} text */
function banner(text) {
  const element = find('#banner')
  // The same text put again would be read out again.
  if (element.textContent !== text) put(element, text)
}

/** @param {string} text */
function toast(text) {
  put(find('#toast'), text)
  later('toast', TOAST_MS, () => put(find('#toast'), ''))
}

/** Instead of everything else. @param {string} id */
function notice(id) {
  banner('')
  find('#board').hidden = true
  find(`#${id}`).hidden = false
  document.title = 'Loopgate'
}

function showExample() {
  const example = find('#example')
  example.textContent = example.textContent.trim().replaceAll('ORIGIN', location.origin)
  find('#copy').addEventListener('click', async () => {
    getSelection()?.selectAllChildren(example)
    const copied = navigator.clipboard.writeText(example.textContent).then(() => 'Copied.')
    toast(await copied.catch(() => 'Selected; copy it by hand.'))
  })
}

async function start() {
  showExample()
  if (!(await signIn())) return
  document.addEventListener('visibilitychange', () => document.hidden || refresh())
  window.addEventListener('online', refresh)
  setInterval(() => cards.forEach(showTimeLeft), 1_000)
  await refresh()
}

await start()
