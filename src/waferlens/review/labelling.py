"""Label a whole group of images in one act: one verdict for each, all in one transaction, or none.

An engineer's label decides, as an arbiter's does. An inspector's is an opinion like any other. A look that is to
be blind is not spent on it: the atlas shows scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from waferlens.errors import Conflict, NotFound, OptionsError
from waferlens.review.admission import Admission
from waferlens.review.consequences import Consequences
from waferlens.review.ports import Clock
from waferlens.review.saying import Saying, require_class, require_key
from waferlens.storage import review_queue, review_verdicts
from waferlens.storage.accounts import Identity
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.inspections import find_inspection
from waferlens.storage.review_stored import EVERYBODY, Purpose, ReviewItem, StoredVerdict
from waferlens.storage.reviewed import with_known_answer
from waferlens.storage.stored import new_id

MOST_AT_ONCE = 500


class Labelling:
    """Takes labels for groups."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        admission: Admission,
        consequences: Consequences,
        clock: Clock,
    ) -> None:
        self._database, self._audit, self._admission = database, audit, admission
        self._consequences, self._clock = consequences, clock

    def label(
        self, who: Identity, inspection_ids: Iterable[str], saying: Saying, *, key: str
    ) -> list[StoredVerdict]:
        """Give every one of these inspections the same verdict; they are undone together.

        key: of this act; with the same key it happens once. Raises NotFound, OptionsError, DatabaseLost, Conflict
        when the key stands for another act.
        """
        require_key(key)
        ids = sorted(set(inspection_ids))
        if not 1 <= len(ids) <= MOST_AT_ONCE:
            raise OptionsError("images of one act", expected=f"1 to {MOST_AT_ONCE}", found=str(len(ids)))
        with self._database.writing() as connection:
            review_queue.begin_act(connection, who.name)
            earlier = review_verdicts.verdicts_of_key(connection, who.name, key)
            if earlier:
                return _same(earlier, ids, saying)
            require_class(connection, saying.defect_class)
            known = with_known_answer(connection, ids)
            if known:
                raise OptionsError("their answers are known, they are not to be labelled", found=", ".join(known))
            given = [self._label(connection, who, inspection_id, saying, key) for inspection_id in ids]
            detail = {
                "choice": str(saying.choice),
                "class": saying.defect_class,
                "note": saying.note,
                "verdicts": {each.inspection_id: each.id for each in given},
            }
            entry = self._audit.append(connection, who.name, "group labelled", detail)
        self._audit.note_head(entry)
        return given

    def _label(
        self, connection: Connection, who: Identity, inspection_id: str, saying: Saying, key: str
    ) -> StoredVerdict:
        now_ms = self._clock.now_ms()
        item = self._item_for(connection, who, inspection_id, now_ms)
        verdict = StoredVerdict(
            id=new_id(now_ms),
            item_id=item.id,
            inspection_id=inspection_id,
            person=who.name,
            role=who.role,
            choice=saying.choice,
            defect_class=saying.defect_class,
            note=saying.note,
            saw_score=True,
            given_ms=now_ms,
            looked_ms=None,
            key=key,
            supersedes=None,
        )
        review_verdicts.add_verdict(connection, verdict)
        review_queue.close_item(connection, item.id, who.name, now_ms, reveal=False)
        self._consequences.draw(connection, verdict)
        return verdict

    def _item_for(self, connection: Connection, who: Identity, inspection_id: str, now_ms: int) -> ReviewItem:
        """An open look that this person may take, else one that is made for this act."""
        inspection = find_inspection(connection, inspection_id)
        if inspection is None:
            raise NotFound("no such inspection", found=inspection_id)
        items = review_queue.lock_items_of(connection, inspection_id)
        looked = any(item.claimed_by == who.name and item.closed_ms is not None for item in items)
        for item in items:
            is_free = not item.held(now_ms) or item.claimed_by == who.name
            is_look = item.closed_ms is None and item.addressee == EVERYBODY and not item.hides_score
            if is_look and is_free and not looked:
                return item
        number = sum(item.purpose is Purpose.ATLAS and item.claimed_by == who.name for item in items)
        made = self._admission.atlas_of(inspection, who.name, number)
        review_queue.add_items(connection, [made])
        return made


def _same(earlier: Sequence[StoredVerdict], ids: Sequence[str], saying: Saying) -> list[StoredVerdict]:
    told = {(each.choice, each.defect_class, each.note) for each in earlier}
    same_images = sorted(each.inspection_id for each in earlier) == list(ids)
    if not same_images or told != {(saying.choice, saying.defect_class, saying.note)}:
        raise Conflict("this key stands for another act", expected="a new key for each act")
    return list(earlier)
