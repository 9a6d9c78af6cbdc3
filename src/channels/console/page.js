/**
 * The console's plain page: what is open, and a person's answer to it.
 *
 * A decision is sent once for one press and never repeated by itself; only the list is asked for
 * again.
 */

import { offerForms } from './account.js'
import {
  clampCard,
  drawCard,
  outcomeLine,
  setLocked,
  showFailures,
  shownOn,
  showTimeLeft,
} from './card.js'
import { find, later, make, put } from './dom.js'
import { call, TOKEN, USER } from './server.js'
import { oneLine } from './text.js'

/** @typedef {import('./card.js').Card} Card */
/** @typedef {import('./card.js').View} View */
/** @typedef {import('./server.js').Answer} Answer */

const VISIBLE_MS = 2_000
/** A tab in the background still counts in its title, at leisure. */
const HIDDEN_MS = 15_000
/** After cards moved, presses don't count for so long: they were meant for what was there before. */
const MOVED_MS = 400
const TOAST_MS = 6_000
const KEPT = 20
const UNREACHABLE = "The server can't be reached. Nothing was sent; trying again."
const IN_DOUBT = "The server didn't answer. Whether your answer arrived shows here when it is back."
/** @type {Map<string, Card>} */
const cards = new Map()
/** @type {Set<string>} */
const settled = new Set()
let isRefreshing = false
let isRefreshWanted = false

// ---- The server ----

/** Spends the code of the link. Previewers and scanners, which run no script, don't. */
async function openLink() {
  const { searchParams, pathname } = new URL(location.href)
  const code = searchParams.get('code')
  if (code === null) return false
  history.replaceState(null, '', pathname)
  await spend(code)
  return true
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
  if (answer.status !== 200) return
  sessionStorage.setItem(TOKEN, answer.body.token)
  sessionStorage.removeItem(USER)
}

/** Nothing of a person is left to see. What is under way may still arrive, and is not shown. */
function signOut() {
  if (!sessionStorage.getItem(TOKEN)) return
  const isAccount = sessionStorage.getItem(USER) !== null
  sessionStorage.removeItem(TOKEN)
  sessionStorage.removeItem(USER)
  cards.clear()
  for (const id of ['#open', '#here', '#elsewhere', '#toast']) find(id).replaceChildren()
  notice('signed-out')
  find('#account details').open ||= isAccount
  find('#signed-out').focus()
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
  if (!sessionStorage.getItem(TOKEN)) return
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
  drawCard(card, decide)
  find('#open').append(root)
  clampCard(card)
  moved()
}

// ---- A decision ----

/** @param {Card} card @param {{ option: string } | { response: string }} decision */
async function decide(card, decision) {
  if (card.isSending || card.isInDoubt) return
  const comment = find('.comment', card.root).value
  card.isSending = true
  setLocked(card, true, 'Sending…')
  const path = `/api/requests/${card.view.request_id}/decision`
  const said = comment.trim() ? { ...decision, comment } : decision
  const answer = await call(path, { ...said, ...shownOn(card) })
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

/** Instead of everything else, with the form to sign in. @param {string[]} ids */
function notice(...ids) {
  banner('')
  for (const id of ['#board', '#who']) find(id).hidden = true
  for (const id of [...ids, 'account']) find(`#${id}`).hidden = false
  put(find('#count'), '')
  document.title = 'Loopgate'
  return find('#sign-in')
}

/** What is only for one kind of server, or one way of having signed in, says so: `data-for`. */
function showParts() {
  const { auth, registration } = document.body.dataset
  const user = sessionStorage.getItem(USER)
  const here = [auth, registration, user === null ? 'link' : 'account']
  for (const part of document.querySelectorAll('[data-for]'))
    part.hidden = !here.includes(part.dataset.for)
  find('#account details').open = auth === 'required'
  put(find('#name'), oneLine(user ?? ''))
}

function showExample() {
  const example = find('#example')
  const key = sessionStorage.getItem(USER) === null ? '' : '\n  -H "authorization: Bearer $KEY" \\'
  example.textContent = example.textContent
    .trim()
    .replaceAll('ORIGIN', location.origin)
    .replaceAll('\\KEY', `\\${key}`)
  find('#copy').addEventListener('click', async () => {
    getSelection()?.selectAllChildren(example)
    const copied = navigator.clipboard.writeText(example.textContent).then(() => 'Copied.')
    toast(await copied.catch(() => 'Selected; copy it by hand.'))
  })
}

/** What there is for whoever is not signed in. @param {boolean} isByLink */
function showDoor(isByLink) {
  if (isByLink) notice('spent')
  else if (document.body.dataset.auth === 'local') notice('no-link')
  else notice().elements.username.focus()
}

async function start() {
  offerForms()
  const isByLink = await openLink()
  showParts()
  if (!sessionStorage.getItem(TOKEN)) return showDoor(isByLink)
  showExample()
  find('#sign-out').addEventListener('click', signOut)
  document.addEventListener('visibilitychange', () => document.hidden || refresh())
  window.addEventListener('online', refresh)
  setInterval(() => cards.forEach(showTimeLeft), 1_000)
  await refresh()
}

await start()
