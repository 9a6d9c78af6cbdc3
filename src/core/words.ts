/**
 * The words by which an answer is read, in one table. Each entry is a phrase of whole words, lower
 * case, without punctuation; an apostrophe joins ("don't" is `dont`).
 */

/** Answers that refuse, when a label begins with them. */
export const REFUSALS: readonly string[] = [
  ...['no', 'n', 'nope', 'nah', 'nay', 'negative', 'no way', 'not', 'never', 'absolutely not'],
  ...['cancel', 'canceled', 'cancelled', 'abort', 'aborted', 'stop', 'stopped', 'halt', 'hold'],
  ...['reject', 'rejected', 'deny', 'denied', 'decline', 'declined', 'refuse', 'refused', 'veto'],
  ...[
    'block',
    'blocked',
    'forbid',
    'forbidden',
    'disallow',
    'disapprove',
    'disapproved',
    'disagree',
  ],
  ...['dont', 'do not', 'wont', 'will not', 'cant', 'can not', 'cannot', 'must not', 'shall not'],
  ...['skip', 'dismiss', 'ignore', 'do nothing', 'neither', 'never mind'],
  ...['nevermind', 'quit', 'exit', 'pause', 'suspend', 'roll back', 'rollback', 'lets not'],
  ...['better not', 'rather not', 'probably not', 'certainly not', 'of course not'],
  ...['should not', 'shouldnt', 'mustnt', 'would not', 'wouldnt'],
]

/** Answers that put the question off, when a label begins with them. */
export const HEDGES: readonly string[] = [
  ...['wait', 'later', 'maybe', 'perhaps', 'possibly', 'not sure', 'not yet', 'unsure', 'unclear'],
  ...['review', 'needs review', 'need review', 'ask', 'escalate', 'delegate', 'discuss', 'defer'],
  ...['more info', 'more information', 'more details', 'more context', 'need more', 'needs more'],
  ...[
    'need info',
    'needs info',
    'investigate',
    'postpone',
    'delay',
    'snooze',
    'remind',
    'dont know',
  ],
  ...['do not know', 'depends', 'it depends', 'hmm', 'no idea', 'no opinion'],
]

/** Words of consent. A label or text that is made of nothing else is a yes. */
export const CONSENTS: readonly string[] = [
  ...[
    'yes',
    'y',
    'yes please',
    'yep',
    'yeah',
    'yup',
    'aye',
    'ok',
    'okay',
    'okey',
    'sure',
    'agreed',
  ],
  ...['approve', 'approved', 'allow', 'allowed', 'confirm', 'confirmed', 'accept', 'accepted'],
  ...['proceed', 'execute', 'go', 'go ahead', 'go for it', 'deploy', 'do it', 'continue', 'agree'],
  ...['permit', 'permitted', 'authorize', 'authorized', 'authorise', 'authorised', 'affirmative'],
  ...['grant', 'granted', 'lgtm', 'looks good', 'sounds good'],
]

/** Words that turn a label around wherever they stand: it does not approve by its place in the list. */
export const NEGATIONS: readonly string[] = [
  ...['no', 'not', 'never', 'neither', 'nor', 'dont', 'doesnt', 'wont', 'cant'],
  ...['cannot', 'shouldnt', 'wouldnt', 'mustnt', 'isnt', 'arent'],
]

/** Words skipped before a refusal or a hedge: "Please don't", "I refuse". Never before a yes. */
export const FILLERS: readonly string[] = [
  ...['please', 'i', 'we', 'oh', 'sorry', 'well', 'actually', 'hell', 'just', 'definitely'],
]
