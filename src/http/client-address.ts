import type { IncomingMessage } from 'node:http'
import proxyAddress from '@fastify/proxy-addr'
import ipaddr from 'ipaddr.js'
import type { Knock } from '../core/ports.ts'

/**
 * Where a call comes from, as far as TRUST_PROXY's proxies are believed, for counting: of IPv6 the
 * network of 64 bits, which is what one customer has.
 */
export function clientAddress(trustProxy: string | false): (knock: Knock) => string {
  const trust = trustProxy === false ? () => false : proxyAddress.compile(listOf(trustProxy))
  return ({ headers, remoteAddress = '' }) => {
    const request = { headers, socket: { remoteAddress } } as unknown as IncomingMessage
    return networkOf(proxyAddress(request, trust))
  }
}

const listOf = (text: string): string[] => text.split(',').map((part) => part.trim())

function networkOf(text: string): string {
  // A proxy may pass on what is no address; it counts as it stands.
  if (!ipaddr.isValid(text)) return text.slice(0, 64)
  const address = ipaddr.process(text)
  if (address.kind() === 'ipv4') return address.toString()
  return address.toByteArray().slice(0, 8).join('.')
}
