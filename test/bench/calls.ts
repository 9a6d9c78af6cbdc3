import { Agent, request } from 'node:http'

const PARALLEL = 50

const http = new Agent({ keepAlive: true, maxSockets: 64 })

export function post(url: string, body: object, headers: Record<string, string> = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const text = JSON.stringify(body)
  const call = request(
    url,
    {
      method: 'POST',
      agent: http,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        ...headers,
      },
    },
    (response) => {
      let answer = ''
      response.on('data', (chunk: Buffer) => {
        answer += chunk.toString()
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(answer) : reject(new Error(`${url}: ${answer}`)),
      )
    },
  )
  call.on('error', reject)
  call.end(text)
  return promise
}

/** So many at once, until all are made. */
export async function inParallel<Value>(
  count: number,
  make: (i: number) => Promise<Value>,
): Promise<Value[]> {
  const made: Value[] = []
  let next = 0
  const worker = async () => {
    while (next < count) made.push(await make(next++))
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
  return made
}
