import { ApiFailure, badRequest, NOT_UTF8 } from './errors.ts'
import { parseMultipart, type Upload } from './multipart.ts'
import { type Fields, isEncodable, isFields } from './values.ts'

/** Parameters that are JSON; a form carries them as text. */
const JSON_PARAMETERS: Record<string, string> = {
  reply_markup: "can't parse reply keyboard markup JSON object",
  entities: "can't parse entities JSON object",
  caption_entities: "can't parse caption entities JSON object",
  reply_parameters: "can't parse reply parameters JSON object",
  link_preview_options: "can't parse link preview options JSON object",
  allowed_updates: "can't parse allowed updates JSON object",
  commands: "can't parse commands JSON object",
  scope: "can't parse BotCommandScope JSON object",
}

/** Parameters that are whole numbers; a form carries them as text. */
const NUMBERS = new Set([
  ...['chat_id', 'user_id', 'message_id', 'message_thread_id', 'reply_to_message_id'],
  ...['offset', 'limit', 'timeout', 'max_connections'],
])

export interface RawRequest {
  readonly query: URLSearchParams
  readonly contentType: string
  readonly body: Buffer
}

/** The parameters of one call, whichever way they were written. */
export class Params {
  readonly values: Fields
  readonly files: ReadonlyMap<string, Upload>

  constructor(values: Fields, files: ReadonlyMap<string, Upload> = new Map()) {
    this.values = values
    this.files = files
  }

  has(name: string): boolean {
    const value = this.values[name]
    return value !== undefined && value !== null
  }

  text(name: string): string {
    const value = this.values[name]
    if (typeof value === 'string') return value
    return value === undefined || value === null ? '' : JSON.stringify(value)
  }

  /** Telegram reads the leading digits and takes anything else as 0. */
  integer(name: string): number {
    const value = this.values[name]
    if (typeof value === 'number') return Math.trunc(value)
    return Number.parseInt(this.text(name), 10) || 0
  }

  flag(name: string): boolean {
    return ['true', 'yes', '1'].includes(this.text(name).toLowerCase())
  }

  json(name: string): unknown {
    return this.values[name] ?? undefined
  }

  object(name: string): Fields | undefined {
    const value = this.json(name)
    if (value === undefined) return undefined
    if (!isFields(value)) throw badRequest(`object expected as ${name.replaceAll('_', ' ')}`)
    return value
  }

  list(name: string): unknown[] | undefined {
    const value = this.json(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) throw badRequest(`expected an Array of ${name.replaceAll('_', ' ')}`)
    return value
  }
}

export function readParams(request: RawRequest): Params {
  const values: Fields = Object.fromEntries(request.query)
  const type = request.contentType.toLowerCase()
  if (type.startsWith('multipart/form-data')) {
    const parts = decoding(() => parseMultipart(request.body, request.contentType))
    return checked(new Params({ ...values, ...Object.fromEntries(parts.fields) }, parts.files))
  }
  const body = decoding(() => new TextDecoder('utf-8', { fatal: true }).decode(request.body))
  if (type.startsWith('application/json')) return checked(new Params({ ...values, ...parse(body) }))
  if (type.startsWith('application/x-www-form-urlencoded')) {
    return checked(new Params({ ...values, ...Object.fromEntries(new URLSearchParams(body)) }))
  }
  return checked(new Params(values))
}

function decoding<T>(decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (error instanceof ApiFailure) throw error
    throw badRequest(NOT_UTF8)
  }
}

function parse(body: string): Fields {
  if (body.trim() === '') return {}
  const value = tryParse(body)
  if (!isFields(value)) throw badRequest("can't parse JSON object")
  return value
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function checked(params: Params): Params {
  const { values } = params
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'string') continue
    const complaint = JSON_PARAMETERS[name]
    if (complaint !== undefined) values[name] = readJsonText(value, complaint)
    else if (NUMBERS.has(name)) values[name] = readNumberText(value)
  }
  if (!isEncodable(values)) throw badRequest(NOT_UTF8)
  return params
}

function readJsonText(text: string, complaint: string): unknown {
  if (text === '') return undefined
  const value = tryParse(text)
  if (value === undefined) throw badRequest(complaint)
  return value
}

function readNumberText(text: string): unknown {
  const number = Number(text)
  return Number.isSafeInteger(number) && String(number) === text ? number : text
}
