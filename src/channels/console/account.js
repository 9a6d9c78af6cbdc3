/** Signing in with an account, and making one. */

import { find, put } from './dom.js'
import { call, TOKEN, USER } from './server.js'

/** @typedef {import('./server.js').Answer} Answer */
/** @typedef {{ username: string, password: string }} Account */
/** What is wrong, and in which field, when it is one. @typedef {{ text: string, field?: string }} Problem */

/** @type {Record<string, string>} */
const FIELDS = { username: 'Username', password: 'Password' }

export function offerForms() {
  onSubmit(find('#sign-in'), 'Signing in…', signIn)
  onSubmit(find('#register'), 'Making the account…', register)
  find('#to-register').addEventListener('click', () => turnTo('#register').focus())
  find('#to-sign-in').addEventListener('click', () => turnTo('#sign-in').focus())
  const { elements } = find('#register')
  elements.reveal.addEventListener('change', () => {
    elements.password.type = elements.reveal.checked ? 'text' : 'password'
  })
}

/** @param {HTMLFormElement} form @param {string} doing @param {(account: Account) => Promise<void>} act */
function onSubmit(form, doing, act) {
  const fields = find('fieldset', form)
  // A browser may bring back a form as it was left, locked.
  unlock(form)
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (fields.disabled) return
    const { username, password } = Object.fromEntries(new FormData(form))
    fields.disabled = true
    put(find('.note', form), doing)
    await act({ username: String(username), password: String(password) })
  })
}

/** @param {Account} account @param {string} [before] What to say before what is wrong. */
async function signIn(account, before = '') {
  const answer = await call('/api/auth/login', account)
  if (answer?.status !== 200) return refuse('#sign-in', problemOf(answer), before)
  sessionStorage.setItem(TOKEN, answer.body.token)
  sessionStorage.setItem(USER, answer.body.username)
  // Nothing of whoever was here before is left in a new page.
  location.reload()
}

/** @param {Account} account */
async function register(account) {
  const answer = await call('/api/auth/register', account)
  if (answer?.status !== 201) return refuse('#register', newProblemOf(answer))
  turnTo('#sign-in')
  await signIn(account, 'The account is made. ')
}

/** Shows one form and hides the other. @param {string} id @returns {HTMLInputElement} where to type */
function turnTo(id) {
  const [from, to] = id === '#register' ? ['#sign-in', id] : ['#register', id]
  find(to).elements.username.value = find(from).elements.username.value
  find(from).hidden = true
  find(to).hidden = false
  unlock(find(from))
  unlock(find(to))
  return find(to).elements.username
}

/** @param {HTMLFormElement} form */
function unlock(form) {
  find('fieldset', form).disabled = false
  put(find('.note', form), '')
  for (const input of form.querySelectorAll('input')) input.removeAttribute('aria-invalid')
}

/** @param {string} id @param {Problem} problem @param {string} [before] */
function refuse(id, { text, field }, before = '') {
  const form = find(id)
  unlock(form)
  put(find('.note', form), before + text)
  const at = field ? form.elements[field] : find('button', form)
  if (field) at.setAttribute('aria-invalid', 'true')
  if (field === 'password') at.select()
  at.focus()
}

/** Why the server didn't let somebody in. @param {Answer | undefined} answer @returns {Problem} */
export function problemOf(answer) {
  const { status, retryMs = 0, body } = answer ?? {}
  switch (status) {
    case undefined:
      return { text: "The server can't be reached. Try again." }
    case 400:
      return fieldProblem(body?.errors ?? [], body?.detail)
    case 401:
      return { text: 'The username or the password is wrong.', field: 'password' }
    case 429:
      return { text: `Too many attempts. Try again ${whenIn(retryMs)}.` }
    case 503:
      return {
        text: `The server can't answer right now${body?.detail ? ` (${body.detail})` : ''}.`,
      }
    default:
      return { text: `The server refused: ${body?.detail ?? status}.` }
  }
}

/** Why it didn't make an account. @param {Answer | undefined} answer @returns {Problem} */
export function newProblemOf(answer) {
  switch (answer?.status) {
    case undefined:
      return { text: "The server didn't answer. If the account was made, you can sign in with it." }
    case 403:
      return { text: `No account can be made here: ${answer.body?.detail}.` }
    case 409:
      return { text: 'This username is taken. Choose another one.', field: 'username' }
    default:
      return problemOf(answer)
  }
}

/** @param {{ path: string, message: string }[]} errors @param {string} [detail] @returns {Problem} */
function fieldProblem(errors, detail = 'the input is not valid') {
  const ours = errors.filter(({ path }) => path.slice(1) in FIELDS)
  const [first] = ours
  if (!first) return { text: `The server refused: ${detail}.` }
  const lines = ours.map(({ path, message }) => `${FIELDS[path.slice(1)]}: ${message}.`)
  return { text: lines.join(' '), field: first.path.slice(1) }
}

/** @param {number} ms */
function whenIn(ms) {
  const at = new Date(Date.now() + ms).toLocaleTimeString('en-GB')
  return `in ${Math.ceil(ms / 1000)} s, at ${at}`
}
