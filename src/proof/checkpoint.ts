import type { JSONWebKeySet } from 'jose'
import type { CheckpointClaims } from '../core/checkpoints.ts'
import { readSigned } from './signed.ts'

/** A receipt can not be taken for a checkpoint, nor the other way round. */
export const CHECKPOINT_TYP = 'loopgate-checkpoint+jwt'

/** What a checkpoint says that one of the keys has signed; undefined for whatever else. */
export async function readCheckpoint(
  jws: string,
  keys: JSONWebKeySet,
): Promise<CheckpointClaims | undefined> {
  const said = await readSigned(jws, CHECKPOINT_TYP, keys)
  try {
    return JSON.parse(said ?? '') as CheckpointClaims
  } catch {
    return undefined
  }
}
