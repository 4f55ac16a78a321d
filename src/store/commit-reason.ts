/** Why a commit failed, in words. */

/**
 * A failed commit carries its reason in a promise of its own; left alone, that would end the process (trap
 * D3).
 */
export async function commitReason(error: unknown): Promise<string> {
  const { commitError } = error as { commitError?: Promise<unknown> }
  const reason = await Promise.race([commitError, Promise.resolve(error)]).catch((cause: unknown) => cause)
  return reason instanceof Error ? reason.message : String(reason)
}
