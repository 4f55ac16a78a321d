/** What the store does not know yet of incidents, beside the incidents themselves: notices and entries. */
import type { Happening } from '../contract/audit-trail.ts'
import type { Incident, PendingNotice } from '../contract/incidents.ts'
import type { Command } from '../store/store.ts'

interface Debt {
  /** Null: nothing is left to be sent. */
  readonly notices: Map<string, PendingNotice | null>
  readonly happenings: Set<Happening>
}

/** All that is to be written of one incident, in one transaction. */
export interface Writing {
  readonly id: number
  readonly commands: readonly Command[]
  readonly happenings: readonly Happening[]
}

export class Owed {
  readonly #debts = new Map<number, Debt>()

  #of(id: number): Debt {
    const debt = this.#debts.get(id) ?? { notices: new Map(), happenings: new Set() }
    this.#debts.set(id, debt)
    return debt
  }

  notice(id: number, key: string, notice: PendingNotice | null): void {
    this.#of(id).notices.set(key, notice)
  }

  entry(id: number, happening: Happening): void {
    this.#of(id).happenings.add(happening)
  }

  /** An incident as it is to be stored, with what is owed of it. */
  writing(id: number, record: Incident | undefined): Writing {
    const debt = this.#debts.get(id)
    const notices = [...(debt?.notices ?? [])].map(([key, notice]): Command => {
      return { type: 'notice', key, record: notice }
    })
    const commands: Command[] =
      record === undefined ? notices : [{ type: 'incident', id, record }, ...notices]
    return { id, commands, happenings: [...(debt?.happenings ?? [])] }
  }

  /** These are in the store; what was changed meanwhile is still owed. */
  paid({ id, commands, happenings }: Writing): void {
    const debt = this.#debts.get(id)
    if (debt === undefined) return
    for (const command of commands)
      if (command.type === 'notice' && debt.notices.get(command.key) === command.record)
        debt.notices.delete(command.key)
    for (const happening of happenings) debt.happenings.delete(happening)
    if (debt.notices.size === 0 && debt.happenings.size === 0) this.#debts.delete(id)
  }
}
