"""The tables of docs/review.md say what the code does."""

from __future__ import annotations

import json

import pages

from waferlens.review.policy import ReviewOptions

PAGE = pages.PAGES["docs/review.md"]


def test_every_entry_of_the_review_stands_with_its_default():
    table = pages.rows(pages.section(PAGE, "## Settings"))
    defaults = ReviewOptions().model_dump(mode="json")
    defaults["classes"] = list(defaults["classes"])
    assert {row[0].strip("`"): json.loads(row[1].strip("`")) for row in table} == defaults
    assert all(row[2] == ReviewOptions.model_fields[row[0].strip("`")].description for row in table)
