/**
 * The plain page of the console: what is open, and a person's answer to it.
 *
 * Whatever an agent wrote is put into the page as text alone, by `put`. A decision is sent once for
 * one press and never repeated by itself; only the list is asked for again.
 */

/** @typedef {import('../../protocol/types.ts').RequestView} View */
/** @typedef {import('../../protocol/types.ts').WireOption} Option */
/** @typedef {{ option?: string, response?: string, comment?: string }} Decision */
/** @typedef {{ view: View, root: HTMLElement, isSending: boolean, isInDoubt: boolean }} Card */
/** @typedef {{ status: number, retryMs: number, body: any }} Answer */

const VISIBLE_MS = 2_000
/** A tab in the background still counts in its title, at leisure. */
const HIDDEN_MS = 15_000
const ANSWER_MS = 20_000
/** How long presses don't count after cards moved, for they were meant for what was there before. */
const MOVED_MS = 400
const TOAST_MS = 6_000
const KEPT = 20
/** Pixels of agent text that are shown before "Show all". */
const TALL = 420
const TOKEN = 'loopgate.token'

const RELOGIN = 'Stop and start the server (npm start) to get a new one.'
const UNREACHABLE = "The server can't be reached. Nothing was sent; trying again."
const IN_DOUBT =
  "The server didn't answer. It will show here whether your answer arrived; nothing is repeated by itself."

const EFFECTS = {
  approve: { verb: 'Approve', does: 'approves' },
  reject: { verb: 'Refuse', does: 'refuses' },
  other: { verb: 'Answer', does: 'answers' },
}
const OUTCOMES = {
  approved: '✅ Approved',
  rejected: '⛔ Rejected',
  answered: '💬 Answered',
  expired: '⌛ Expired',
  canceled: '🚫 Canceled',
}

/** @type {Map<string, Card>} */
const cards = new Map()
/** @type {Set<string>} */
const settled = new Set()
/** How far the server's clock is ahead of this one. */
let ahead = 0
let isRefreshing = false
let isRefreshWanted = false
/** @type {number | undefined} */
let refreshTimer
/** @type {number | undefined} */
let movedTimer
/** @type {number | undefined} */
let toastTimer

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {T}
 */
function find(selector, root = document) {
  return /** @type {T} */ (root.querySelector(selector))
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
function make(tag, className, text) {
  const element = document.createElement(tag)
  element.className = className
  if (text !== undefined) put(element, text)
  return element
}

// ---- Text of others: the rules of ../render.ts, here with the replacements set apart by style ----

const UNSEEN = /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]--[\n\t]]/v
/** Joiners and selectors are right inside an emoji, and only there. */
const EMOJI = /^\p{RGI_Emoji}$/v
/** Runs of blanks that would push text out of sight. */
const BLANKS = /(\n(?:\p{Zs}*\n){3,}|\p{Zs}{41,})/u
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** @typedef {{ text: string, isOurs: boolean }} Run */

/**
 * The text in runs. Ours stand for what is not seen, or is too many blanks.
 * @param {string} text
 * @returns {Run[]}
 */
function runsOf(text) {
  const lines = text.replace(/\r\n?/g, '\n').replaceAll('\t', '    ')
  const runs = UNSEEN.test(lines) ? reveal(lines) : [{ text: lines, isOurs: false }]
  return runs.flatMap((run) => (run.isOurs ? run : countBlanks(run.text)))
}

/** @param {string} text */
function reveal(text) {
  /** @type {Run[]} */
  const runs = []
  for (const { segment } of graphemes.segment(text)) {
    for (const char of EMOJI.test(segment) ? [segment] : segment) {
      const isOurs = char !== segment || !EMOJI.test(char) ? UNSEEN.test(char) : false
      const shown = isOurs ? codePoint(char) : char
      const last = runs.at(-1)
      if (last?.isOurs === isOurs) last.text += shown
      else runs.push({ text: shown, isOurs })
    }
  }
  return runs
}

/** @param {string} char */
const codePoint = (char) =>
  `⟨U+${char.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}⟩`

/** @param {string} text */
const countBlanks = (text) =>
  text.split(BLANKS).map((part, i) => (i % 2 ? blanks(part) : { text: part, isOurs: false }))

/** @param {string} run */
function blanks(run) {
  const breaks = run.split('\n').length - 1
  const text = breaks > 0 ? `\n⟨${breaks - 1} blank lines⟩\n` : ` ⟨${run.length} spaces⟩ `
  return { text, isOurs: true }
}

/** On one line, so that nothing in it can pass for a line of ours. @param {string} text */
const oneLine = (text) => text.replace(/\r\n?|\n/g, ' ⏎ ')

/** @param {string} text */
const visible = (text) =>
  runsOf(oneLine(text))
    .map((run) => run.text)
    .join('')

/**
 * Text of others as the content of an element, never as markup.
 * @param {Element} element
 * @param {string} text
 */
function put(element, text) {
  element.replaceChildren(
    ...runsOf(text).map((run) => (run.isOurs ? ours(run.text) : document.createTextNode(run.text))),
  )
}

/** @param {string} text */
function ours(text) {
  const span = document.createElement('span')
  span.className = 'ours'
  span.textContent = text
  return span
}

// ---- Calls ----

/**
 * Undefined: no answer came, for whatever reason.
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<Answer | undefined>}
 */
async function call(path, body) {
  const token = sessionStorage.getItem(TOKEN)
  /** @type {Record<string, string>} */
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  if (body) headers['content-type'] = 'application/json'
  try {
    const response = await fetch(path, {
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      headers,
      signal: AbortSignal.timeout(ANSWER_MS),
    })
    const date = Date.parse(response.headers.get('date') ?? '')
    if (!Number.isNaN(date)) ahead = date - Date.now()
    const retryMs = Number(response.headers.get('retry-after') ?? 0) * 1000
    return { status: response.status, retryMs, body: await response.json() }
  } catch {
    return undefined
  }
}

/** Spends the code of the link. A previewer or scanner, which runs no script, does not. */
async function signIn() {
  const url = new URL(location.href)
  const code = url.searchParams.get('code')
  if (code === null) return
  history.replaceState(null, '', url.pathname)
  let answer = await call('/api/auth/link', { code })
  while (answer === undefined || answer.status >= 429) {
    banner(answer?.body?.detail ?? UNREACHABLE)
    const { retryMs = 0 } = answer ?? {}
    await new Promise((resolve) => setTimeout(resolve, Math.max(VISIBLE_MS, retryMs)))
    answer = await call('/api/auth/link', { code })
  }
  banner('')
  if (answer.status === 200) sessionStorage.setItem(TOKEN, answer.body.token)
  else if (!sessionStorage.getItem(TOKEN)) notice('This link works once.', RELOGIN)
}

function signOut() {
  sessionStorage.removeItem(TOKEN)
  notice('You are signed out.', `The link that opens this page works once. ${RELOGIN}`)
}

// ---- The list ----

/** One at a time; what is wanted meanwhile is asked for afterwards. */
async function refresh() {
  isRefreshWanted = true
  if (isRefreshing) return
  isRefreshing = true
  clearTimeout(refreshTimer)
  while (isRefreshWanted && sessionStorage.getItem(TOKEN)) {
    isRefreshWanted = false
    await receive(await call('/hitl/pending'))
  }
  isRefreshing = false
  if (!sessionStorage.getItem(TOKEN)) return
  refreshTimer = setTimeout(refresh, document.hidden ? HIDDEN_MS : VISIBLE_MS)
}

/** @param {Answer | undefined} answer */
async function receive(answer) {
  if (answer?.status === 401) return signOut()
  const isDoubtful = [...cards.values()].some((card) => card.isInDoubt)
  if (answer?.status !== 200) {
    return banner(answer?.body?.detail ?? (isDoubtful ? IN_DOUBT : UNREACHABLE))
  }
  banner('')
  /** @type {View[]} */
  const pending = answer.body.pending_requests.filter((view) => !settled.has(view.request_id))
  const ids = new Set(pending.map((view) => view.request_id))
  const gone = [...cards.values()].filter((c) => !c.isSending && !ids.has(c.view.request_id))
  for (const view of pending) showOpen(view)
  await Promise.all(gone.map(lookUp))
  showCount()
}

/** Why a card is no longer in the list. @param {Card} card */
async function lookUp(card) {
  const { request_id: id } = card.view
  const answer = await call(`/hitl/poll?request_id=${encodeURIComponent(id)}`)
  if (answer?.status === 200 && answer.body.completed) settle(card, answer.body, false)
  else if (answer?.status === 404) remove(card)
}

// ---- A card ----

/** @param {View} view */
function showOpen(view) {
  const known = cards.get(view.request_id)
  if (!known) return addCard(view)
  if (known.isInDoubt) {
    enable(known, "Your answer doesn't seem to have arrived. Press again if you still want to.")
  }
  if (known.view.cursor !== view.cursor) showFailures(known.root, view)
  known.view = view
}

/** New ones come last: nothing moves under a hand. @param {View} view */
function addCard(view) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById('card'))
  const root = find('article', /** @type {DocumentFragment} */ (template.content.cloneNode(true)))
  /** @type {Card} */
  const card = { view, root, isSending: false, isInDoubt: false }
  cards.set(view.request_id, card)
  root.dataset['id'] = view.request_id
  root.setAttribute('aria-label', visible(`${view.client_id} asks`))
  for (const [name, text] of Object.entries({ client: view.client_id, session: view.session_id })) {
    put(find(`.${name}`, root), oneLine(text))
  }
  put(find('.message', root), view.message)
  find('.id', root).textContent = view.request_id
  showMetadata(root, view.metadata)
  showFailures(root, view)
  if (view.options.length > 0) offerOptions(card)
  else offerText(card)
  find('#open').append(root)
  for (const box of [find('.message', root), find('.metadata', root)]) clamp(box)
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
  list.replaceChildren(
    ...failed.map(({ channel, error = 'for an unknown reason' }) =>
      make('li', '', oneLine(`⚠️ Not delivered by ${channel}: ${error}`)),
    ),
  )
  list.hidden = failed.length === 0
}

/** Tall text is cut, with a button that shows the rest. @param {HTMLElement} box */
function clamp(box) {
  if (box.scrollHeight <= TALL * 1.2) return
  box.classList.add('cut')
  const length = [...(box.textContent ?? '')].length.toLocaleString('en')
  const more = make('button', 'plain more', `Show all ${length} characters`)
  more.addEventListener('click', () => {
    box.classList.remove('cut')
    more.remove()
  })
  box.after(more)
}

/** @param {Card} card */
function offerOptions(card) {
  const list = find('.options', card.root)
  list.hidden = false
  for (const { label, effect } of card.view.options) {
    const { verb, does } = EFFECTS[effect]
    const button = make('button', effect)
    button.append(make('span', 'label', oneLine(label)), make('small', '', does))
    button.setAttribute('aria-label', `${verb}: ${visible(label)}`)
    button.addEventListener('click', () => decide(card, { option: label }))
    list.append(button)
  }
}

/** @param {Card} card */
function offerText(card) {
  const { root, view } = card
  find('.text', root).hidden = false
  find('.reading', root).textContent =
    view.request_type === 'input'
      ? 'The agent gets your words as they are. They neither approve nor refuse.'
      : 'Only a plain yes (“yes”, “ok”, “approve”) approves, and a plain no refuses. Anything else is given to the agent as your words and approves nothing.'
  const box = /** @type {HTMLTextAreaElement} */ (find('.response', root))
  const send = () => {
    if (box.value.trim() === '') box.focus()
    else void decide(card, { response: box.value })
  }
  find('.send', root).addEventListener('click', send)
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send()
  })
}

/** @param {Card} card @param {string} [note] */
function enable({ root, ...card }, note = '') {
  find('fieldset', root).removeAttribute('disabled')
  find('.note', root).textContent = note
}

// ---- A decision ----

/** @param {Card} card @param {Decision} decision */
async function decide(card, decision) {
  if (card.isSending || card.isInDoubt) return
  const comment = /** @type {HTMLTextAreaElement} */ (find('.comment', card.root)).value
  card.isSending = true
  show(card, true, 'Sending…')
  const path = `/api/requests/${encodeURIComponent(card.view.request_id)}/decision`
  const answer = await call(path, comment.trim() === '' ? decision : { ...decision, comment })
  card.isSending = false
  decided(card, answer)
  void refresh()
}
