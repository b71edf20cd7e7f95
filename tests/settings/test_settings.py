"""Recipes say what they change and nothing unknown; the environment is read when asked."""

from pathlib import Path

import pytest

from waferlens.errors import OptionsError
from waferlens.models.feature_vae import FeatureVAEOptions
from waferlens.settings.environment import cache_folder, num_workers
from waferlens.settings.recipe import Recipe, load_packaged_recipe, load_recipe, recipe_from, with_training
from waferlens.settings.retraining import load_limits
from waferlens.settings.service import load_service_settings

RECIPES = Path(__file__).parents[2] / "recipes"


def recipe_file(folder, text):
    path = folder / "line-7.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_recipe_the_packaged_default_is_used():
    assert load_recipe(None) == load_packaged_recipe("default")
    assert load_recipe(None).name == "default"


def test_the_default_recipe_assumes_nothing_of_the_product():
    default, nothing = load_recipe(None), Recipe()
    assert (default.images, default.normalise, default.network) == (
        nothing.images,
        nothing.normalise,
        FeatureVAEOptions(),
    )
    assert default.thresholds == nothing.thresholds


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_loads_and_bears_its_files_name(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description
    assert recipe.fit_options().training == recipe.training


def test_a_recipe_of_a_pixel_vae_starts_from_the_packaged_one_of_its_kind(tmp_path):
    recipe = load_recipe(recipe_file(tmp_path, "[network]\nkind = 'pixel-vae'\n"))
    assert recipe.model_copy(update={"name": "pixel"}) == load_packaged_recipe("pixel").model_copy(
        update={"name": "pixel"}
    )
    assert recipe.training.epochs == 50


def test_the_three_promised_recipes_are_there():
    assert {path.stem for path in RECIPES.glob("*.toml")} >= {"transistor", "demo", "seed-literal"}


def test_the_packaged_demo_is_the_one_of_the_repository():
    assert load_packaged_recipe("demo") == load_recipe(RECIPES / "demo.toml")


def test_the_literal_recipe_is_the_case_studys():
    recipe = load_recipe(RECIPES / "seed-literal.toml")
    assert (recipe.network.channels, recipe.network.bottleneck_channels) == ((32, 64, 128, 256), 0)
    assert (recipe.thresholds.review_threshold, recipe.thresholds.reject_threshold) == (0.02, 0.05)
    assert recipe.thresholds.score_name == "reconstruction_error"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[training]\nepoch = 5\n", ["unknown entry training.epoch", "5"]),
        ("[trainign]\nepochs = 5\n", ["unknown entry trainign"]),
        ("[training]\nepochs = 0\n", ["training.epochs", "greater than or equal to 1", "0"]),
        ("[training]\nepochs = 'many'\n", ["training.epochs", "integer", "'many'"]),
        ("[network]\nkind = 'pixel-vae'\nlikelihood = 'poisson'\n", ["network.likelihood", "poisson"]),
        ("[network]\nkind = 'transformer'\n", ["network.kind", "'pixel-vae', 'feature-vae'", "'transformer'"]),
        ("[network]\nkind = 'feature-vae'\nwidht = 3\n", ["unknown entry network.widht", "3"]),
        ("[normalise]\nflat_field_sigma = 1e9\n", ["normalise.flat_field_sigma", "256"]),
        ("[thresholds]\npolicy = 'fixed'\n", ["thresholds", "review_threshold"]),
        ("[thresholds]\nreview_overkill_rate = nan\n", ["thresholds.review_overkill_rate", "nan"]),
        (
            "[network]\nkind = 'pixel-vae'\n[feature_bank]\nenabled = true\n",
            ["a bank of features needs a feature-vae, not a pixel-vae"],
        ),
        (
            "[discriminator]\nenabled = 'maybe'\n",
            ["discriminator.enabled;", "boolean", "or input should be 'auto'"],
        ),
        ("[images]\ncrop = 'round'\n", ["images.crop;", "'centre-square'; or", "tuple", "'round'"]),
        ("name = 'Two Words'\n", ["name", "Two Words"]),
        ("name = \n", ["not TOML"]),
        ("a = 1\na = 2\n", ["not TOML"]),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line_that_names_file_entry_and_value(tmp_path, text, named):
    with pytest.raises(OptionsError) as error:
        load_recipe(recipe_file(tmp_path, text))
    message = str(error.value)
    assert "line-7.toml" in message
    assert "\n" not in message
    for part in named:
        assert part in message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[extract]\nday = 5\n", ["unknown entry extract.day", "5"]),
        ("[extract]\ndays = 'all'\n", ["extract.days", "number", "'all'"]),
        ("extract = 5\n", ["extract;", "dictionary", "5"]),
        ("extract = \n", ["not TOML"]),
    ],
)
def test_wrong_limits_are_refused_as_a_wrong_recipe_is(tmp_path, text, named):
    path = tmp_path / "limits.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionsError) as error:
        load_limits(path, 90)
    for part in ("limits.toml", *named):
        assert part in str(error.value)


def test_limits_take_the_days_of_the_command_line_unless_the_file_says(tmp_path):
    assert load_limits(None, 90).extract.days == 90
    path = tmp_path / "limits.toml"
    path.write_text("[extract]\ndays = 7\n", encoding="utf-8")
    assert load_limits(path, 90).extract.days == 7
    with pytest.raises(OptionsError, match=r"the command line: extract\.days"):
        load_limits(None, -1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_batch = 5\n", ["unknown entry max_batch", "5"]),
        ("upload_seconds = 0\n", ["upload_seconds", "greater than 0", "0"]),
        ("upload_seconds =\n", ["not TOML"]),
    ],
)
def test_wrong_settings_of_a_service_are_refused_as_a_wrong_recipe_is(tmp_path, text, named):
    (tmp_path / "service.toml").write_text(text, encoding="utf-8")
    with pytest.raises(OptionsError) as error:
        load_service_settings(tmp_path)
    for part in ("service.toml", *named):
        assert part in str(error.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_is_missing_or_not_text_is_refused(tmp_path, content):
    path = tmp_path / "gone.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionsError, match=r"gone\.toml"):
        load_recipe(path)


def test_a_recipe_comes_back_from_a_bundles_json():
    recipe = load_recipe(RECIPES / "seed-literal.toml")
    assert recipe_from(recipe.model_dump(mode="json"), "config.json") == recipe


def test_the_command_line_may_change_training_and_is_checked_too():
    recipe = load_recipe(None)
    assert with_training(recipe) is recipe
    assert with_training(recipe, devices=2, epochs=3).training.epochs == 3
    assert with_training(recipe, damaged=64).damage.num_images == 64
    assert with_training(recipe, damaged=64).discriminator.enabled
    assert not with_training(recipe, damaged=0).discriminator.enabled
    for wrong in ({"devices": 5}, {"damaged": 3}):
        with pytest.raises(OptionsError, match="the command line"):
            with_training(recipe, **wrong)


def test_the_cache_lives_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("WAFERLENS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("WAFERLENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user" / "waferlens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "waferlens"


def test_the_number_of_workers_is_the_environments_or_the_cores(monkeypatch):
    monkeypatch.delenv("WAFERLENS_WORKERS", raising=False)
    assert num_workers() >= 1
    monkeypatch.setenv("WAFERLENS_WORKERS", "3")
    assert num_workers() == 3


@pytest.mark.parametrize("value", ["0", "-2", "many", "2.5", "²"])
def test_a_number_of_workers_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("WAFERLENS_WORKERS", value)
    with pytest.raises(OptionsError, match="WAFERLENS_WORKERS"):
        num_workers()


def test_servers_that_infer_are_named_by_the_environment(monkeypatch):
    from waferlens.settings.environment import triton_urls

    monkeypatch.delenv("WAFERLENS_TRITON", raising=False)
    assert triton_urls() == ()
    monkeypatch.setenv("WAFERLENS_TRITON", " http://127.0.0.1:8000, grpc://127.0.0.1:8011 ,")
    assert triton_urls() == ("http://127.0.0.1:8000", "grpc://127.0.0.1:8011")


def test_a_key_that_is_configured_and_missing_is_an_error(monkeypatch, tmp_path):
    from waferlens.settings.environment import bundle_key

    monkeypatch.setenv("WAFERLENS_BUNDLE_KEY", "")
    assert bundle_key() is None
    monkeypatch.setenv("WAFERLENS_BUNDLE_KEY", str(tmp_path / "key.pem"))
    with pytest.raises(OptionsError, match="WAFERLENS_BUNDLE_KEY"):
        bundle_key()
    (tmp_path / "key.pem").touch()
    assert bundle_key() == tmp_path / "key.pem"


def test_engines_of_one_process_are_counted_by_the_environment(monkeypatch):
    from waferlens.settings.environment import num_engines

    monkeypatch.delenv("WAFERLENS_ENGINES", raising=False)
    assert num_engines() is None
    monkeypatch.setenv("WAFERLENS_ENGINES", "3")
    assert num_engines() == 3
    for wrong in ("0", "-1", "two", "²"):
        monkeypatch.setenv("WAFERLENS_ENGINES", wrong)
        with pytest.raises(OptionsError, match="WAFERLENS_ENGINES"):
            num_engines()
