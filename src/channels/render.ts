/** How people are told things, the same on every channel. */

/** The first `max` UTF-16 units, without cutting a character in two. */
export function head(text: string, max: number): string {
  if (text.length <= max) return text
  if (max <= 0) return ''
  const isSplit = /[\uD800-\uDBFF]/.test(text.charAt(max - 1))
  return text.slice(0, isSplit ? max - 1 : max)
}

/** `2026-11-21 12:03 UTC`: the same moment for every reader. */
export const utc = (date: Date): string =>
  `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

/** `1 hour 30 minutes`: the two largest units, never more than there is. */
export function duration(ms: number): string {
  const parts: string[] = []
  let left = ms
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size)
    left -= count * size
    if (count > 0) parts.push(`${count} ${unit}${count === 1 ? '' : 's'}`)
  }
  return parts.slice(0, 2).join(' ') || '1 second'
}
