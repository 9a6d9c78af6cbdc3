/** How things get into the page: what others wrote as text alone, by `put`. */

import { partsOf } from './text.js'

/** @type {Record<string, number>} */
const timers = {}

/** @type {(selector: string, root?: ParentNode) => any} */
export const find = (selector, root = document) => root.querySelector(selector)

/** @type {(name: string, ms: number, act: () => unknown) => void} */
export function later(name, ms, act) {
  clearTimeout(timers[name])
  timers[name] = window.setTimeout(act, ms)
}

/** @param {Element} element @param {string} text */
export function put(element, text) {
  const nodes = partsOf(text).map((part, i) => {
    const node = document.createElement('span')
    node.className = 'mark'
    node.textContent = part
    return i % 2 ? node : part
  })
  element.replaceChildren(...nodes)
}

/** @param {string} tag @param {string} className @param {string} text */
export function make(tag, className, text) {
  const element = document.createElement(tag)
  element.className = className
  put(element, text)
  return element
}

/** @param {string} className @param {string} text @param {() => unknown} onPress */
export function makeButton(className, text, onPress) {
  const button = make('button', className, '')
  button.setAttribute('type', 'button')
  button.append(make('span', '', text))
  button.addEventListener('click', onPress)
  return button
}
