import { proveAgents } from './asking.ts'
import { proveConformance } from './conformance.ts'
import { proveGivingUp } from './giving-up.ts'
import { proveInspector } from './inspector.ts'
import { Report } from './report.ts'

/** Runs the proofs whose names begin with an argument, or all of them. */

const PROOFS: Readonly<Record<string, (report: Report) => Promise<void>>> = {
  conformance: proveConformance,
  inspector: proveInspector,
  agents: proveAgents,
  giving: proveGivingUp,
}

const wanted = process.argv.slice(2)
const report = new Report()
for (const [name, prove] of Object.entries(PROOFS)) {
  if (wanted.length > 0 && !wanted.some((begin) => name.startsWith(begin))) continue
  try {
    await prove(report)
  } catch (error) {
    await report.prove(name, () => Promise.reject(error))
  }
}
process.exit(report.summary())
