import { invalid } from '../core/errors.ts'

/** Containers inside containers. JSON.stringify and every recursive reader behind us rely on it. */
export const MAX_DEPTH = 32

/**
 * Refuses what can not be stored, shown or signed unchanged, wherever in the value it is. Every
 * transport calls it before anything else looks at the value.
 *
 * NUL (PostgreSQL stores none), lone surrogates (no UTF-8), numbers that JSON.parse has changed
 * already, depth, and keys that reach an object's prototype.
 * @throws {LoopgateError} INVALID_INPUT with the path.
 */
export function checkJson(value: unknown, maxDepth = MAX_DEPTH, path = ''): void {
  if (typeof value === 'string') checkText(value, path)
  if (typeof value === 'number') checkNumber(value, path)
  if (typeof value === 'object' && value !== null) checkContainer(value, maxDepth, path)
}

function checkContainer(value: object, maxDepth: number, path: string): void {
  // Socket.IO carries bytes beside JSON.
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw invalid(path, 'must not be binary')
  }
  if (maxDepth === 0) throw invalid(path, `is nested deeper than ${MAX_DEPTH} levels`)
  for (const [key, item] of Object.entries(value)) {
    const at = `${path}/${pointer(key)}`
    checkText(key, at)
    if (key === '__proto__') throw invalid(at, 'is not allowed as a key')
    checkJson(item, maxDepth - 1, at)
  }
}

function checkText(text: string, path: string): void {
  if (text.includes('\0')) throw invalid(path, 'must not contain NUL (U+0000)')
  if (!text.isWellFormed())
    throw invalid(path, 'must be well-formed Unicode, without lone surrogates')
}

function checkNumber(number: number, path: string): void {
  if (Number.isFinite(number) && !(Number.isInteger(number) && !Number.isSafeInteger(number)))
    return
  throw invalid(path, 'is a number that JSON can not carry exactly; send it as a string')
}

/** One reference token of a JSON Pointer (RFC 6901, section 3). */
export const pointer = (key: PropertyKey): string =>
  String(key).replaceAll('~', '~0').replaceAll('/', '~1')

/** @throws {LoopgateError} INVALID_INPUT for anything that is not one JSON value. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(
      '',
      `is not JSON: ${error instanceof Error ? error.message : 'it can not be parsed'}`,
    )
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A body as it came. It is looked at as bytes first, because decoding would mend what is not UTF-8.
 * @throws {LoopgateError} INVALID_INPUT for anything that is not one JSON value, or too deep.
 */
export function decodeJson(body: Uint8Array): unknown {
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    throw invalid('', 'the body is not UTF-8')
  }
  if (isTooDeep(text)) throw invalid('', `is nested deeper than ${MAX_DEPTH} levels`)
  return parseJson(text)
}

/** Strings, which may contain brackets, and brackets. */
const TOKENS = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"?|[{[\]}]/g

/** Whether the text nests deeper than allowed, without building anything. */
export function isTooDeep(text: string, maxDepth = MAX_DEPTH): boolean {
  let depth = 0
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    if (depth > maxDepth) return true
  }
  return false
}
