import type { LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'

const TIMEOUT_MS = 2_000
const TRIES = 2

/**
 * A lookup that asks the name servers itself. The system's runs in Node's four worker threads, which
 * everything else needs too: a name server that does not answer, and anybody can name one, would
 * hold them up.
 */
export function resolverLookup(
  servers?: readonly string[],
  timeoutMs: number = TIMEOUT_MS,
): LookupFunction {
  const resolver = new Resolver({ timeout: timeoutMs, tries: TRIES })
  if (servers) resolver.setServers(servers)
  return (hostname, _options, callback) => {
    resolveBoth(resolver, hostname).then(
      (addresses) => callback(null, addresses),
      (error: NodeJS.ErrnoException) => callback(error, []),
    )
  }
}

/** All addresses of the name. A name may have none of one family. */
async function resolveBoth(resolver: Resolver, hostname: string): Promise<LookupAddress[]> {
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(hostname),
    resolver.resolve6(hostname),
  ])
  if (four.status === 'rejected' && six.status === 'rejected') throw four.reason
  return [
    ...(four.status === 'fulfilled' ? four.value.map((address) => ({ address, family: 4 })) : []),
    ...(six.status === 'fulfilled' ? six.value.map((address) => ({ address, family: 6 })) : []),
  ]
}
