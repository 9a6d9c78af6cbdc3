import { badRequest } from './errors.ts'

export interface Upload {
  readonly name: string
  readonly type: string
  readonly bytes: Buffer
}

export interface Multipart {
  readonly fields: Map<string, string>
  readonly files: Map<string, Upload>
}

const HEADER_END = Buffer.from('\r\n\r\n')

/**
 * Own parser, because `Response.formData()` cuts a file name without quotes at its first space,
 * and grammY writes names without quotes.
 */
export function parseMultipart(body: Buffer, contentType: string): Multipart {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType)
  const mark = boundary?.[1] ?? boundary?.[2]
  if (mark === undefined) throw badRequest('boundary not found in the multipart request')
  const parts: Multipart = { fields: new Map(), files: new Map() }
  for (const part of split(body, Buffer.from(`--${mark}`))) add(parts, part)
  return parts
}

function split(body: Buffer, delimiter: Buffer): Buffer[] {
  const parts: Buffer[] = []
  let start = body.indexOf(delimiter)
  while (start !== -1) {
    const from = start + delimiter.length
    if (body.toString('latin1', from, from + 2) === '--') return parts
    const end = body.indexOf(Buffer.concat([Buffer.from('\r\n'), delimiter]), from)
    if (end === -1) break
    parts.push(body.subarray(from + 2, end))
    start = end + 2
  }
  throw badRequest("can't find the end of the multipart request")
}

function add(parts: Multipart, part: Buffer): void {
  const split = part.indexOf(HEADER_END)
  if (split === -1) throw badRequest("can't find the end of the part headers")
  const headers = part.toString('utf8', 0, split)
  const bytes = part.subarray(split + HEADER_END.length)
  const name = attribute(headers, 'name')
  if (name === undefined) throw badRequest('field "name" is missing in the part headers')
  const fileName = attribute(headers, 'filename')
  if (fileName === undefined) {
    parts.fields.set(name, new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return
  }
  const type = /^content-type:\s*([^\r\n;]+)/im.exec(headers)?.[1]?.trim()
  parts.files.set(name, { name: fileName, type: type ?? 'application/octet-stream', bytes })
}

function attribute(headers: string, name: string): string | undefined {
  const line = /^content-disposition:.*$/im.exec(headers)?.[0] ?? ''
  const quoted = new RegExp(`[;\\s]${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(line)
  if (quoted) return quoted[1]?.replace(/\\(.)/g, '$1')
  return new RegExp(`[;\\s]${name}=([^;]*)`, 'i').exec(line)?.[1]?.trim()
}
