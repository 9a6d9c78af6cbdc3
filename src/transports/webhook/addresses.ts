import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { resolverLookup } from './resolver.ts'

/**
 * Which addresses a callback may reach. An agent names the URL, and this server stands where the
 * agent may not look: on its machine's loopback, in its network, beside its cloud's metadata.
 */
export interface AddressPolicy {
  readonly allowPrivate: boolean
}

/** Where web servers listen. Others would make this server a scanner of ports. */
const PORTS: readonly string[] = ['', '80', '443', '8080', '8443']
/** Names that are never public: RFC 6761, RFC 6762, RFC 8375, and what networks use inside. */
const PRIVATE_NAMES =
  /(^|\.)(localhost|local|internal|intranet|private|corp|home|lan|home\.arpa|onion|test|invalid)$/
const MAX_LENGTH = 2_048

/** What is wrong with a callback_url, as far as it can be seen without asking the network. */
export function urlProblem(text: string, policy: AddressPolicy): string | undefined {
  if (text.length > MAX_LENGTH) return `must be at most ${MAX_LENGTH} characters`
  if (!URL.canParse(text)) return 'must be an absolute URL'
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an http or https URL'
  if (url.username !== '' || url.password !== '') return 'must not carry credentials'
  if (url.hash !== '') return 'must not have a fragment'
  if (policy.allowPrivate) return undefined
  if (!PORTS.includes(url.port)) return 'must use port 80, 443, 8080 or 8443'
  return hostProblem(url.hostname)
}

/** The host of a URL in its normal form: every way to write an IPv4 address is the same by then. */
function hostProblem(hostname: string): string | undefined {
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  if (isIP(host) !== 0) {
    return isPublic(host) ? undefined : 'must not be a private or special address'
  }
  if (!host.includes('.') || PRIVATE_NAMES.test(host)) return 'must have a public host name'
  return undefined
}

/** All of IPv6 that IANA gives out. The rest is reserved, or old ways to write IPv4. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')

/**
 * Global unicast and nothing else. IPv4 inside IPv6 is judged as what it is; the ranges that carry
 * IPv4 to somewhere (NAT64, 6to4, Teredo) are not public.
 */
export function isPublic(address: string): boolean {
  // A zone names an interface of this machine.
  if (address.includes('%') || !ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  if (parsed.range() !== 'unicast') return false
  return parsed.kind() === 'ipv4' || parsed.match(GLOBAL_UNICAST)
}

export class AddressError extends Error {
  override readonly name = 'AddressError'

  constructor() {
    super('the address is private or special; see CALLBACK_ALLOW_PRIVATE')
  }
}

/**
 * A lookup for connecting that gives out an address only when all of the name's are allowed. What
 * it gives out is what is connected to: there is no second lookup that could answer otherwise.
 * Names of this machine and its network are only the system's to know.
 */
export function vettedLookup(
  policy: AddressPolicy,
  lookup: LookupFunction = policy.allowPrivate ? systemLookup : resolverLookup(),
): LookupFunction {
  return (hostname, options, callback) => {
    const answer = vetted(policy, options.all === true, callback)
    lookup(hostname, { ...options, all: true }, answer)
  }
}

type LookupCallback = Parameters<LookupFunction>[2]

/** Passes on what a lookup of all addresses found, all or the first, if every one is allowed. */
const vetted =
  (policy: AddressPolicy, all: boolean, callback: LookupCallback): LookupCallback =>
  (error, found) => {
    const addresses = Array.isArray(found) ? found : [{ address: found, family: isIP(found) }]
    const refusal = error ?? (areAllowed(addresses, policy) ? null : new AddressError())
    if (refusal) callback(refusal, '', 0)
    else if (all) callback(null, addresses)
    else callback(null, addresses[0]?.address ?? '', addresses[0]?.family)
  }

const areAllowed = (found: readonly LookupAddress[], { allowPrivate }: AddressPolicy): boolean =>
  found.length > 0 && (allowPrivate || found.every(({ address }) => isPublic(address)))

/** A literal address is connected to without a lookup. */
export function requireAllowed(hostname: string, policy: AddressPolicy): void {
  const host = hostname.replace(/^\[|\]$/g, '')
  if (!policy.allowPrivate && isIP(host) !== 0 && !isPublic(host)) throw new AddressError()
}
