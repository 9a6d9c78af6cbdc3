const PROTOCOLS = new Set(['http:', 'https:', 'tg:', 'ton:', 'tonsite:'])

/**
 * Why Telegram refuses a link, or undefined. A web link needs a host with a dot, so `http://localhost`
 * is refused; a link without a protocol is taken as http.
 */
export function linkFault(link: string): string | undefined {
  if (link === '') return 'URL host is empty'
  const protocol = /^([a-z][a-z0-9+.-]*):\/\//i.exec(link)?.[1]?.toLowerCase()
  if (protocol !== undefined && !PROTOCOLS.has(`${protocol}:`)) return 'Unsupported URL protocol'
  if (protocol !== undefined && !protocol.startsWith('http')) return undefined
  const url = URL.parse(protocol === undefined ? `http://${link}` : link)
  if (url === null || !url.hostname.includes('.')) return 'Wrong HTTP URL'
  return undefined
}
