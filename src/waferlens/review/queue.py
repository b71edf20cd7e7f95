"""The queue as a person uses it: the next item, its claim, what of it may be seen. Knows neither HTTP nor SQL.

An item is claimed for a while (``lease_seconds``), kept while its page is open (``keep``), given back when it is
left. Whoever asks again, after a crash of anything, gets what they had.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from waferlens.errors import Conflict, NotAllowed, NotFound
from waferlens.review.admission import Admission
from waferlens.review.draws import Draws
from waferlens.review.policy import ReviewOptions
from waferlens.review.ports import Clock
from waferlens.storage import review_known, review_queue
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.database import Database
from waferlens.storage.inspections import find_inspection
from waferlens.storage.review_stored import ARBITERS, EVERYBODY, Order, Purpose, ReviewItem
from waferlens.storage.stored import StoredInspection

_ENGINEERS = frozenset({Role.ENGINEER, Role.ADMIN})


@dataclass(frozen=True, kw_only=True)
class Look:
    """An item and the inspection that it is about. A door sends nothing of the inspection but through this."""

    item: ReviewItem
    inspection: StoredInspection

    @property
    def hides_score(self) -> bool:
        """Whether score, heatmap, decision and all that tells of them must not be sent."""
        return self.item.hides_score


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How much waits. oldest_ms: arrival of the oldest; None where nothing waits."""

    num_looks: int
    num_arbitrations: int
    num_held: int
    oldest_ms: int | None


class ReviewQueue:
    """Hands out items. Many threads and processes may call it at once."""

    def __init__(
        self, database: Database, admission: Admission, draws: Draws, options: ReviewOptions, clock: Clock
    ) -> None:
        self._database, self._admission, self._draws = database, admission, draws
        self._options, self._clock = options, clock

    def next_look(
        self,
        who: Identity,
        order: Order,
        *,
        having: Collection[str] = (),
        put_off: Collection[str] = (),
        arbitrations: bool = False,
    ) -> Look | None:
        """The next item for a person, claimed for them; None when nothing waits that they may have.

        having: items that they have on the screen already. put_off: items that they want later. arbitrations: of
        those instead, where the role may. Raises NotAllowed, DatabaseLost; Conflict when they have as many as they
        may.
        """
        if arbitrations:
            self._require_arbiter(who)
        now_ms = self._clock.now_ms()
        with self._database.writing() as connection:
            review_queue.begin_act(connection, who.name)
            item = self._resumed(connection, who, now_ms, having, arbitrations)
            if item is None:
                item = self._fresh(connection, who, order, now_ms, having, put_off, arbitrations)
            return None if item is None else self._look(connection, item)

    def keep(self, who: Identity, item_id: str) -> int:
        """The person is still there; until when the item is theirs, in ms. Raises Conflict when it is lost."""
        until_ms = self._clock.now_ms() + self._lease_ms
        with self._database.writing() as connection:
            if not review_queue.extend_claim(connection, item_id, who.name, until_ms):
                raise Conflict("this item is no longer yours", expected="an item that you claimed", found=item_id)
        return until_ms

    def release(self, who: Identity, item_id: str) -> None:
        """Give an item back; nothing happens to one that the person does not have."""
        with self._database.writing() as connection:
            review_queue.release_item(connection, item_id, who.name)

    def look_at(self, who: Identity, item_id: str) -> Look:
        """An item that the person has or has judged, or that waits for an arbiter, if they are one.

        Raises NotFound; NotAllowed for one that they have not been given.
        """
        with self._database.reading() as connection:
            item = review_queue.find_item(connection, item_id)
            if item is None:
                raise NotFound("no such item", found=item_id)
            arbitrates = item.addressee == ARBITERS and self.may_arbitrate(who)
            if item.claimed_by != who.name and not arbitrates:
                raise NotAllowed("this item was not given to you", expected="one that you claimed", found=item_id)
            return self._look(connection, item)

    def hides_from(self, who: Identity, inspection_id: str) -> bool:
        """Whether a person has this inspection as a blind look just now: no other page may tell them either."""
        with self._database.reading() as connection:
            held = review_queue.held_items(connection, who.name)
        return any(item.inspection_id == inspection_id and item.hides_score for item in held)

    def arbitrations(self, who: Identity, *, limit: int = 100) -> list[Look]:
        """What waits for an arbiter, oldest first. Raises NotAllowed."""
        self._require_arbiter(who)
        with self._database.reading() as connection:
            page = review_queue.waiting_page(connection, ARBITERS, limit=limit)
            return [self._look(connection, item) for item in page]

    def waiting(self) -> Waiting:
        """How much waits, and since when. Known answers, which wait for one person, do not count."""
        with self._database.reading() as connection:
            rows = review_queue.queue_figures(connection, self._clock.now_ms())
        counted = {row[0]: row[1:] for row in rows if row[0] in (EVERYBODY, ARBITERS)}
        return Waiting(
            num_looks=counted.get(EVERYBODY, (0, 0, 0))[0],
            num_arbitrations=counted.get(ARBITERS, (0, 0, 0))[0],
            num_held=sum(num_held for _, num_held, _ in counted.values()),
            oldest_ms=min((oldest for _, _, oldest in counted.values()), default=None),
        )

    def may_arbitrate(self, who: Identity) -> bool:
        """Whether this role may decide where people differ."""
        return self._options.arbiter == "anybody" or who.role in _ENGINEERS

    def _require_arbiter(self, who: Identity) -> None:
        if not self.may_arbitrate(who):
            raise NotAllowed("this role may not arbitrate", expected="engineer", found=str(who.role))

    @property
    def _lease_ms(self) -> int:
        return round(1000 * self._options.lease_seconds)

    def _resumed(
        self, connection: Connection, who: Identity, now_ms: int, having: Collection[str], arbitrations: bool
    ) -> ReviewItem | None:
        """What the person has already and does not show: after a crash, or because they left it for a while."""
        for item in review_queue.held_items(connection, who.name):
            if item.id not in having and (item.purpose is Purpose.ARBITRATION) is arbitrations:
                return self._claimed(connection, item, who, now_ms)
        return None

    def _fresh(
        self,
        connection: Connection,
        who: Identity,
        order: Order,
        now_ms: int,
        having: Collection[str],
        put_off: Collection[str],
        arbitrations: bool,
    ) -> ReviewItem | None:
        if len(having) >= self._options.held_at_once:
            raise Conflict(
                "too many items at once", expected=f"at most {self._options.held_at_once}", found=str(len(having))
            )
        addressee = ARBITERS if arbitrations else EVERYBODY
        item = review_queue.first_waiting(connection, who.name, addressee, order, now_ms, but=put_off)
        if item is None:
            return None
        if not arbitrations:
            item = self._known_beside(connection, item, who) or item
        return self._claimed(connection, item, who, now_ms)

    def _known_beside(self, connection: Connection, item: ReviewItem, who: Identity) -> ReviewItem | None:
        """An image of a known answer, asked before this item; drawn, and never one that the person knows."""
        if not self._draws.chosen(self._options.known_share, "known", item.inspection_id, who.name):
            return None
        if review_queue.find_item(connection, self._admission.known_id(item, who.name)) is not None:
            return None
        unasked = review_known.known_unasked(connection, who.name)
        if not unasked:
            return None
        number = self._draws.number("which known", item.inspection_id, who.name)
        inspection = find_inspection(connection, unasked[int(number * len(unasked))])
        if inspection is None:
            return None
        known = self._admission.known_of(inspection, item, who.name)
        review_queue.add_items(connection, [known])
        return known

    def _claimed(self, connection: Connection, item: ReviewItem, who: Identity, now_ms: int) -> ReviewItem:
        review_queue.claim_item(connection, item.id, who.name, now_ms, now_ms + self._lease_ms)
        found = review_queue.find_item(connection, item.id)
        if found is None:
            raise NotFound("the item is gone", found=item.id)
        return found

    def _look(self, connection: Connection, item: ReviewItem) -> Look:
        inspection = find_inspection(connection, item.inspection_id)
        if inspection is None:
            raise NotFound("the inspection is no longer recorded", found=item.inspection_id)
        return Look(item=item, inspection=inspection)
