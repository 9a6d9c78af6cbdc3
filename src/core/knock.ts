import type { Knock } from './ports.ts'

/** Who knocks, by what every server hands over. */
export const knockOf = ({
  headers,
  socket,
}: {
  readonly headers: Knock['headers']
  readonly socket: { readonly remoteAddress?: string | undefined }
}): Knock => ({ headers, remoteAddress: socket.remoteAddress })
