import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Installs what the proofs run, in this folder and not in the product's. Does nothing when that is
 * what is installed. No script of any package is run.
 */

const HERE = import.meta.dirname
const LOCK = join(HERE, 'package-lock.json')
/** The lock file as it was when its packages were installed. */
const INSTALLED = join(HERE, 'node_modules/.installed-lock.json')

const isCurrent = (): boolean =>
  existsSync(INSTALLED) && readFileSync(INSTALLED, 'utf8') === readFileSync(LOCK, 'utf8')

if (!isCurrent()) {
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  // Not npm ci: it refuses a lock file in which a platform's optional packages are missing.
  execFileSync('npm', ['install', ...options], { cwd: HERE, stdio: 'inherit' })
  writeFileSync(INSTALLED, readFileSync(LOCK))
}
