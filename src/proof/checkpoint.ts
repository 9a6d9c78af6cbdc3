import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose'
import type { CheckpointClaims } from '../core/checkpoints.ts'
import { ALGORITHM } from './receipt.ts'

/** A receipt can not be taken for a checkpoint, nor the other way round. */
export const CHECKPOINT_TYP = 'loopgate-checkpoint+jwt'

/** What a checkpoint says that one of the keys has signed; undefined for whatever else. */
export async function readCheckpoint(
  jws: string,
  keys: JSONWebKeySet,
): Promise<CheckpointClaims | undefined> {
  try {
    const { payload, protectedHeader } = await compactVerify(jws, createLocalJWKSet(keys), {
      algorithms: [ALGORITHM],
    })
    if (protectedHeader.typ !== CHECKPOINT_TYP) return undefined
    return JSON.parse(new TextDecoder().decode(payload)) as CheckpointClaims
  } catch {
    return undefined
  }
}
