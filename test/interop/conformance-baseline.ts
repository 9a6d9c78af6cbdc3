/** A suite at a revision of the protocol. */
export interface Run {
  readonly name: string
  /** The folder of its package. */
  readonly package: string
  readonly args: readonly string[]
  /**
   * What is known to run and to pass, and how many checks without fixtures. Fewer means that something
   * was not looked at.
   */
  readonly known: {
    readonly scenarios: number
    readonly checks: number
    readonly withoutFixtures: number
  }
}

const OLD = 'conformance 0.1.16'
const LEGACY = 'conformance 0.2.0-alpha.12, 2025-11-25'
const MODERN = 'conformance 0.2.0-alpha.12, 2026-07-28'

export const RUNS: readonly Run[] = [
  {
    name: OLD,
    package: '@modelcontextprotocol/conformance',
    args: ['--suite', 'all'],
    known: { scenarios: 32, checks: 20, withoutFixtures: 8 },
  },
  {
    name: LEGACY,
    package: 'conformance-alpha',
    args: ['--requirements', '2025-11-25'],
    known: { scenarios: 33, checks: 57, withoutFixtures: 42 },
  },
  {
    name: MODERN,
    package: 'conformance-alpha',
    args: ['--requirements', '2026-07-28'],
    known: { scenarios: 50, checks: 148, withoutFixtures: 76 },
  },
]

/** What a server without fixtures passes whole, and in which runs it is there. */
export const GENERIC: readonly { readonly scenario: string; readonly runs: readonly string[] }[] = [
  ...['server-initialize', 'ping'].map((scenario) => ({ scenario, runs: [OLD, LEGACY] })),
  ...[
    'tools-list',
    'resources-list',
    'dns-rebinding-protection',
    'server-sse-multiple-streams',
  ].map((scenario) => ({ scenario, runs: [OLD, LEGACY, MODERN] })),
  { scenario: 'server-session-lifecycle', runs: [LEGACY] },
  ...['http-header-validation', 'caching', 'sep-2164-resource-not-found'].map((scenario) => ({
    scenario,
    runs: [MODERN],
  })),
  { scenario: 'input-required-result-unsupported-methods', runs: [MODERN] },
]

/** What fails, and why it may. */
export interface Exception {
  readonly reason: string
  readonly runs: readonly string[]
  readonly scenarios: readonly string[]
  /** The ids of the checks; without them all but the one of the messages on the wire. */
  readonly checks?: readonly string[]
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    reason: 'Loopgate has no prompts to offer, and says so in its capabilities.',
    runs: [OLD, LEGACY, MODERN],
    scenarios: [
      ...['prompts-list', 'prompts-get-simple', 'prompts-get-with-args', 'prompts-get-with-image'],
      ...['prompts-get-embedded-resource', 'completion-complete'],
    ],
  },
  {
    reason: 'The same: there is no list of prompts to keep in a cache.',
    runs: [MODERN],
    scenarios: ['caching'],
    checks: ['sep-2549-prompts-list-caching-hints'],
  },
  {
    reason: 'The same: there is no prompt to ask for input.',
    runs: [MODERN],
    scenarios: ['input-required-result-non-tool-request'],
  },
  {
    reason: 'Logging and sampling are deprecated as of 2026-07-28; Loopgate never used either.',
    runs: [OLD, LEGACY],
    scenarios: ['logging-set-level', 'tools-call-with-logging', 'tools-call-sampling'],
  },
  {
    reason:
      'Loopgate has its client ask nothing but the question: no sampling, no roots, one form.',
    runs: [MODERN],
    scenarios: [
      ...['input-required-result-basic-sampling', 'input-required-result-basic-list-roots'],
      ...['input-required-result-capability-check', 'input-required-result-multi-round'],
      'input-required-result-multiple-input-requests',
    ],
  },
  {
    reason: 'The field of that one form is called answer; this looks for one called user_name.',
    runs: [MODERN],
    scenarios: [
      ...['input-required-result-basic-elicitation', 'input-required-result-ignore-extra-params'],
    ],
  },
  {
    reason:
      'The resources of Loopgate are its questions; what these name is none and is not found.',
    runs: [OLD, LEGACY, MODERN],
    scenarios: ['resources-read-text', 'resources-read-binary', 'resources-templates-read'],
  },
  {
    reason: 'The same: what is no question is not followed.',
    runs: [OLD, LEGACY],
    scenarios: ['resources-subscribe', 'resources-unsubscribe'],
  },
  {
    reason:
      'The one form that Loopgate shows asks for the answer of a question: no defaults, no titles.',
    runs: [OLD, LEGACY],
    scenarios: ['elicitation-sep1034-defaults', 'elicitation-sep1330-enums'],
  },
  {
    reason:
      'A lost stream is not resumed but the call repeated, which finds its question (SHOULD).',
    runs: [OLD, LEGACY],
    scenarios: ['server-sse-polling'],
    checks: ['server-sse-priming-event', 'server-sse-retry-field'],
  },
  {
    reason: 'No tool of Loopgate needs a capability of its client.',
    runs: [MODERN],
    scenarios: ['server-stateless'],
    checks: [
      ...['sep-2575-server-rejects-undeclared-capability', 'sep-2575-missing-capability-http-400'],
    ],
  },
  {
    reason: 'The same: a client without tasks gets every answer without one.',
    runs: [MODERN],
    scenarios: ['tasks-required-task-error'],
  },
  {
    reason:
      'A task of Loopgate is a question to a person: it does not fail, and asks its client nothing.',
    runs: [MODERN],
    scenarios: ['tasks-mrtr-input', 'tasks-mrtr-composition'],
  },
  {
    reason: 'The same, for what these have failing_job, protocol_error_job and confirm_delete do.',
    runs: [MODERN],
    scenarios: ['tasks-lifecycle'],
    checks: ['sep-2663-tool-error-uses-completed-status', 'sep-2663-tasks-get-status-failed'],
  },
  {
    reason: 'The same.',
    runs: [MODERN],
    scenarios: ['tasks-dispatch-and-envelope'],
    checks: [
      ...['tasks-server-directed-creation-no-hint'],
      ...['tasks-result-type-complete-on-non-task-responses'],
    ],
  },
  {
    reason: 'No argument of a tool of Loopgate travels in a header of its own (x-mcp-header).',
    runs: [MODERN],
    scenarios: ['http-custom-header-server-validation'],
  },
]
