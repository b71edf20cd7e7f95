"""The tables of docs/model.md and docs/decisions.md say what the code does."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib

import pages
import pytest
import torch
from pydantic import BaseModel
from torch import nn

from waferlens.decision.thresholds import ThresholdOptions, upper_quantile
from waferlens.engines.parity import BOUND_8_BIT, BOUND_32_BIT
from waferlens.engines.runtimes import ENGINES
from waferlens.inspection.files import FileResult
from waferlens.models.discriminator import Discriminator, DiscriminatorOptions
from waferlens.models.feature_vae import FeatureVAE, FeatureVAEOptions
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions
from waferlens.records import Decision, DecisionKind
from waferlens.settings.recipe import Recipe, load_recipe, recipe_from

MODEL, DECISIONS = pages.PAGES["docs/model.md"], pages.PAGES["docs/decisions.md"]
SECTIONS = {
    name: field.annotation for name, field in Recipe.model_fields.items() if name not in ("name", "description")
} | {"network": PixelVAEOptions}
LITERAL = PixelVAEOptions(bottleneck_channels=0)
RECIPES = sorted((pages.ROOT / "recipes").glob("*.toml"))


def layers(options: PixelVAEOptions) -> list[tuple[str, int]]:
    """Output shape and parameters of each layer with weights; batch normalisation counts with its convolution."""
    network = PixelVAE(options).eval()
    found: dict[str, list] = {}

    def note(name):
        def hook(layer, inputs, output):
            count = sum(parameter.numel() for parameter in layer.parameters())
            if isinstance(layer, nn.BatchNorm2d):
                found[name.rpartition(".")[0] + ".0"][1] += count
            else:
                found[name] = [str(tuple(output.shape[1:])), count]

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.Linear)):
            layer.register_forward_hook(note(name))
    with torch.no_grad():
        network.decode(network.encode(torch.zeros(1, 1, 256, 256)).mean)
    return [(shape, count) for shape, count in found.values()]


@pytest.mark.parametrize(("options", "which"), [(PixelVAEOptions(), 0), (LITERAL, 1)], ids=["default", "literal"])
def test_the_network_tables_have_every_layer_with_its_shape_and_parameters(options, which):
    tables = pages.section(MODEL, "## Network").split("| layer |")[1:]
    *drawn, noise, total = pages.rows("| layer |" + tables[which])
    assert [(shape, int(count.replace(",", ""))) for _, shape, count in drawn] == layers(options)
    assert (noise[2], int(total[2].replace(",", ""))) == (
        "1",
        sum(p.numel() for p in PixelVAE(options).parameters()),
    )


def test_the_default_network_is_within_the_budget_and_the_literal_one_is_not():
    default, literal = (sum(p.numel() for p in PixelVAE(o).parameters()) for o in (PixelVAEOptions(), LITERAL))
    assert default < 15_000_000 < literal


def test_the_literal_recipe_builds_the_literal_network():
    assert load_recipe(pages.ROOT / "recipes" / "seed-literal.toml").network.bottleneck_channels == 0


@pytest.mark.parametrize("name", SECTIONS)
def test_every_entry_of_a_recipe_section_stands_with_its_default(name):
    options = SECTIONS[name]
    assert issubclass(options, BaseModel)
    listed = {row[0].strip("`"): row[1].strip("`") for row in pages.rows(pages.section(MODEL, f"### `[{name}]`"))}
    defaults = options().model_dump(mode="json")
    assert listed == {key: "none" if value is None else json.dumps(value) for key, value in defaults.items()}


def test_every_entry_of_the_network_over_features_stands_with_its_default():
    table = pages.rows(pages.section(MODEL, '### `[network]` with `kind = "feature-vae"`'))
    listed = {row[0].strip("`"): row[1].strip("`") for row in table}
    assert listed == {key: json.dumps(value) for key, value in FeatureVAEOptions().model_dump(mode="json").items()}


def test_the_parts_of_the_network_over_features_have_the_parameters_that_are_listed():
    network = FeatureVAE(FeatureVAEOptions())
    table = pages.rows(pages.section(MODEL, "## Network over features"))
    listed = {row[0].strip("`"): int(row[2].replace(",", "")) for row in table}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    total = sum(counts.values())
    assert listed == {name: count for name, count in counts.items() if count} | {"total": total}
    assert total < 15_000_000


def test_the_parts_of_the_discriminator_have_the_parameters_that_are_listed():
    table = pages.rows(pages.section(MODEL, "## The discriminator"))
    for column, num_features in ((2, 0), (3, FeatureVAE(FeatureVAEOptions()).num_evidence)):
        judge = Discriminator(DiscriminatorOptions(), num_features)
        counts = {name: sum(p.numel() for p in part.parameters()) for name, part in judge.named_children()}
        listed = {row[0].strip("`"): int(row[column].replace(",", "")) for row in table}
        assert {name: count for name, count in listed.items() if count} == counts | {"total": sum(counts.values())}


def test_every_entry_of_the_top_level_stands_with_its_default():
    listed = {row[0].strip("`"): row[1].strip("`") for row in pages.rows(pages.section(MODEL, "### Top level"))}
    assert listed == {key: json.dumps(Recipe.model_fields[key].default) for key in ("name", "description")}


@pytest.mark.parametrize(
    "page", sorted(set(pages.PAGES) - {"docs/service.md", "docs/station.md", "docs/monitoring.md"})
)
def test_every_recipe_example_is_a_recipe(page):
    for block in pages.blocks(pages.PAGES[page], "toml"):
        recipe_from(tomllib.loads(block), page)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_travels_with_the_code_is_valid(path):
    assert load_recipe(path).name == path.stem


def test_what_each_recipe_sets_stands_in_the_table():
    table = pages.rows(pages.section(MODEL, "## Recipes"))
    listed = {row[0].strip("`"): set(re.findall(r"`([^`]+)`", row[1])) for row in table}
    for path, entries in listed.items():
        content = tomllib.loads((pages.ROOT / path).read_text(encoding="utf-8"))
        sections = {name: entry for name, entry in content.items() if isinstance(entry, dict)}
        told = {f"{name}.{key} = {json.dumps(v)}" for name, entry in sections.items() for key, v in entry.items()}
        assert entries == told, path
    assert {path for path in listed if path.startswith("recipes/")} == {f"recipes/{path.name}" for path in RECIPES}


def test_the_bounds_of_the_gate_are_those_of_the_code():
    bounds = {row[0]: float(row[2]) for row in pages.rows(pages.section(MODEL, "## Engines and the parity gate"))}
    assert bounds == {"32 bit": BOUND_32_BIT, "8 bit": BOUND_8_BIT}
    assert all(f"`{engine}`" in MODEL for engine in ENGINES)


def test_the_line_of_json_has_the_fields_that_are_promised():
    unread = FileResult(
        file="a.png", decision=Decision(kind=DecisionKind.REVIEW, confidence=0.0, reason="torn"), model_version="v"
    )
    (sentence,) = re.findall(r"prints one object a line: (.*?)\. Numbers", DECISIONS, flags=re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(unread.as_dict())


def test_the_default_overkill_rates_are_those_that_the_page_states():
    options = ThresholdOptions()
    assert f"`review_overkill_rate`, {100 * options.review_overkill_rate:g} %" in DECISIONS
    assert f"`reject_overkill_rate`, {100 * options.reject_overkill_rate:g} %" in DECISIONS


def test_a_rate_of_one_in_a_thousand_is_promised_from_999_images_on():
    import numpy as np

    assert "0.1 % takes 999" in DECISIONS
    extrapolated = [upper_quantile(np.arange(n, dtype=np.float64), 0.001, 0.25)[1] for n in (998, 999)]
    assert extrapolated == [True, False]


def test_the_nouns_of_the_architecture_are_frozen():
    from waferlens import records

    for name in ("ImageRef", "Inference", "Decision", "Inspection", "Estimate"):
        noun = getattr(records, name)
        assert dataclasses.is_dataclass(noun)
        assert noun.__dataclass_params__.frozen
