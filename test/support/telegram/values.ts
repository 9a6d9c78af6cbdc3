export type Fields = Record<string, unknown>

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Drops the fields that are undefined, so that optional ones may be written in place. */
export function compact<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept) as T
}

/** Lone surrogates have no UTF-8 form; Telegram refuses the whole call. */
export function isEncodable(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (Array.isArray(value)) return value.every(isEncodable)
  if (isFields(value)) {
    return Object.entries(value).every(([key, item]) => key.isWellFormed() && isEncodable(item))
  }
  return true
}

/** Equality of what would go over the wire. */
export function sameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
