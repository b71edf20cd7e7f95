"""What a person says of an image, kept for ever: given once, superseded if they think again, never overwritten.

Each verdict, its consequences and its entry in the audit log are one transaction. The client makes a key for each
act and sends the same one until it is answered: a server that dies in between has stored all of it or nothing, and
the item is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from waferlens.errors import Conflict, NotFound
from waferlens.review.consequences import Consequence, Consequences, with_consequence
from waferlens.review.policy import ReviewOptions
from waferlens.review.ports import Clock
from waferlens.review.saying import (
    Saying,
    detail_of,
    require_class,
    require_decided,
    require_item,
    require_key,
    same,
)
from waferlens.review.settling import standing_of
from waferlens.storage import review_queue, review_verdicts
from waferlens.storage.accounts import Identity
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.review_stored import Choice, Purpose, StoredVerdict
from waferlens.storage.stored import new_id


@dataclass(frozen=True, kw_only=True)
class Given:
    """A verdict that is kept. replayed: it was kept before. consequence: None for a known answer or a replay."""

    verdict: StoredVerdict
    replayed: bool
    consequence: Consequence | None


class Verdicts:
    """Takes verdicts. Many threads and processes may call it at once."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        consequences: Consequences,
        options: ReviewOptions,
        clock: Clock,
    ) -> None:
        self._database, self._audit, self._consequences = database, audit, consequences
        self._options, self._clock = options, clock

    def give(
        self, who: Identity, item_id: str, saying: Saying, *, key: str, supersedes: str | None = None
    ) -> Given:
        """Keep a verdict on an item that this person has.

        key: of this act, 1 to 64 characters; with the same key the same verdict is kept once. supersedes: the id
        of the person's own verdict on the item when they think again, as after the score of a blind item is shown.
        Raises NotFound, NotAllowed, OptionsError, DatabaseLost; Conflict when somebody else has the item, when it
        is judged, or when the key stands for another verdict.
        """
        require_key(key)
        with self._database.writing() as connection:
            review_queue.begin_act(connection, who.name)
            earlier = review_verdicts.verdicts_of_key(connection, who.name, key)
            if earlier:
                return Given(verdict=same(earlier, item_id, saying), replayed=True, consequence=None)
            given = self._give(connection, who, item_id, saying, key, supersedes)
            detail = with_consequence(detail_of(given.verdict), given.consequence)
            entry = self._audit.append(connection, who.name, "verdict given", detail)
        self._audit.note_head(entry)
        return given

    def undo(self, who: Identity, *, key: str) -> list[StoredVerdict]:
        """Take back what this person said last, a whole act at once; its items are asked again, them first.

        The withdrawals, which supersede what they take back. Raises NotFound when there is nothing in the last
        ``undo_seconds``, Conflict when an arbiter has decided since.
        """
        require_key(key)
        now_ms = self._clock.now_ms()
        with self._database.writing() as connection:
            review_queue.begin_act(connection, who.name)
            earlier = review_verdicts.verdicts_of_key(connection, who.name, key)
            if earlier:
                return earlier
            last = review_verdicts.last_act_of(connection, who.name)
            if not last or now_ms - last[-1].given_ms > 1000 * self._options.undo_seconds:
                raise NotFound(
                    "nothing to undo", expected=f"a verdict of the last {self._options.undo_seconds:g} s"
                )
            in_order = sorted(last, key=lambda each: each.inspection_id)  # two acts lock rows alike
            withdrawn = [self._withdraw(connection, verdict, key, now_ms) for verdict in in_order]
            detail = {"verdicts": [each.supersedes for each in withdrawn]}
            entry = self._audit.append(connection, who.name, "verdict withdrawn", detail)
        self._audit.note_head(entry)
        return withdrawn

    def history_of(self, inspection_id: str) -> list[StoredVerdict]:
        """Everything that was ever said of an inspection, in its order."""
        with self._database.reading() as connection:
            return review_verdicts.verdicts_of_inspection(connection, inspection_id)

    def _give(
        self,
        connection: Connection,
        who: Identity,
        item_id: str,
        saying: Saying,
        key: str,
        supersedes: str | None,
    ) -> Given:
        found = review_queue.find_item(connection, item_id)
        if found is None:
            raise NotFound("no such item", found=item_id)
        items = review_queue.lock_items_of(connection, found.inspection_id)
        item = next(each for each in items if each.id == item_id)
        now_ms = self._clock.now_ms()
        said = review_verdicts.verdicts_of_inspection(connection, item.inspection_id)
        require_class(connection, saying.defect_class)
        require_decided(item, saying)
        require_item(item, who, said, supersedes, now_ms)
        verdict = StoredVerdict(
            id=new_id(now_ms),
            item_id=item.id,
            inspection_id=item.inspection_id,
            person=who.name,
            role=who.role,
            choice=saying.choice,
            defect_class=saying.defect_class,
            note=saying.note,
            saw_score=not item.hides_score,
            given_ms=now_ms,
            looked_ms=None if item.claimed_ms is None else max(0, now_ms - item.claimed_ms),
            key=key,
            supersedes=supersedes,
        )
        review_verdicts.add_verdict(connection, verdict)
        review_queue.close_item(connection, item.id, who.name, now_ms, reveal=item.hides_score)
        consequence = None
        if item.purpose is not Purpose.KNOWN:
            consequence = self._consequences.draw(connection, verdict)
        return Given(verdict=verdict, replayed=False, consequence=consequence)

    def _withdraw(self, connection: Connection, verdict: StoredVerdict, key: str, now_ms: int) -> StoredVerdict:
        items = review_queue.lock_items_of(connection, verdict.inspection_id)
        item = next(each for each in items if each.id == verdict.item_id)
        said = review_verdicts.verdicts_of_inspection(connection, verdict.inspection_id)
        arbitrated = {each.id for each in items if each.purpose is Purpose.ARBITRATION}
        if item.id not in arbitrated and any(each.item_id in arbitrated for each in standing_of(said)):
            raise Conflict("an arbiter has decided since", expected="a verdict that nobody has built upon")
        withdrawal = replace(
            verdict,
            id=new_id(now_ms),
            choice=Choice.WITHDRAWN,
            defect_class=None,
            note="",
            saw_score=not item.hides_score,
            given_ms=now_ms,
            looked_ms=None,
            key=key,
            supersedes=verdict.id,
        )
        review_verdicts.add_verdict(connection, withdrawal)
        if item.purpose is not Purpose.ATLAS:  # nobody was given that one, so nobody is asked again
            until_ms = now_ms + round(1000 * self._options.lease_seconds)
            review_queue.reopen_item(connection, item.id, verdict.person, now_ms, until_ms)
        if item.purpose is not Purpose.KNOWN:
            self._consequences.draw(connection, withdrawal)
        return withdrawal
