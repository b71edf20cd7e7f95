"""The review from the terminal: what waits, who agrees, what people settled as a data set."""

from __future__ import annotations

import json

import pytest

import line
from waferlens.images.layouts import read_dataset
from waferlens.review.saying import Saying
from waferlens.settings.service import ServiceSettings
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.review_stored import Choice, Order


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A record of images that a real service took: all are in doubt, and a person has judged three of them."""
    home = tmp_path_factory.mktemp("reviewed")
    settings = ServiceSettings.model_validate(
        {"review": {"double_share": 0, "blind_share": 0, "audit_share": 0, "known_share": 0}}
    )
    who = Identity(name="ann", role=Role.INSPECTOR)
    with line.a_service(home, settings=settings) as service, line.listening(service) as served:
        with served.client() as client:
            for number in range(5):
                client.inspect(line.png(120, seed=number), f"WF-{number}", 0)
        for number, choice in enumerate((Choice.PASS, Choice.REJECT, Choice.REJECT)):
            look = service.review.queue.next_look(who, Order.OLDEST)
            saying = Saying(choice=choice, defect_class="scratch" if number == 1 else None)
            service.review.verdicts.give(who, look.item.id, saying, key=f"k{number}")
    return home


def test_the_queue_tells_how_much_waits_and_since_when(here, home):
    told = json.loads(here("review", "queue", "--home", home, "--json").out)
    assert (told["num_looks"], told["num_arbitrations"]) == (2, 0)
    assert told["oldest_seconds"] > 0
    assert "num_looks" in here("review", "queue", "--home", home).out


def test_agreement_is_told_with_what_is_not_defined(here, home):
    told = json.loads(here("review", "agreement", "--home", home, "--days", 1, "--json").out)
    assert (told["num_looks"], told["num_people"]) == (3, 1)
    assert told["overrides"]["REVIEW"]["num_events"] == 1
    assert told["people"]["fleiss"]["why_undefined"]
    shown = here("review", "agreement", "--home", home).out
    assert "escapes in the blind audit" in shown
    assert "nan" not in shown


def test_what_people_settled_is_exported_as_a_data_set(here, home, tmp_path):
    out = tmp_path / "labels"
    told = json.loads(here("review", "export", "--home", home, "--out", out).out)
    assert (told["num_normal"], told["num_defective"], told["classes"]) == (1, 2, {"scratch": 1})
    dataset = read_dataset(out)
    assert len(dataset.train) + len(dataset.test) == 3
    assert here("review", "export", "--home", home, "--out", out).code == 1
    assert here("audit", "verify", "--home", home).code == 0
