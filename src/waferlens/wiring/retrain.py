"""``waferlens retrain``: from recorded inspections to a challenger in shadow, in seven steps that are each
done once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.bundle.contents import load_samples, read_json
from waferlens.bundle.manifest import sha256_of
from waferlens.bundle.signature import sign_bundle
from waferlens.errors import DataError, LifecycleError
from waferlens.images.doctor import check_dataset
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import read_dataset
from waferlens.inspection.facts import load_facts
from waferlens.inspection.inspector import Inspector
from waferlens.lifecycle.extraction import ExtractOptions, choose, write_dataset
from waferlens.lifecycle.gate import GateOptions, judge
from waferlens.lifecycle.poisoning import Audited, PoisonOptions, require_clean, suspects
from waferlens.lifecycle.registration import Told as Registered
from waferlens.lifecycle.rollout import Because
from waferlens.lifecycle.steps import Result, Steps
from waferlens.settings.environment import num_workers
from waferlens.settings.recipe import Recipe
from waferlens.storage.blobs import write_durably
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.storage.training_images import passed_images
from waferlens.wiring.evaluate import evaluate_bundle
from waferlens.wiring.lifecycle import Life
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.settled import settled_between
from waferlens.wiring.told import Told
from waferlens.wiring.train import train_bundle
from waferlens.wiring.trusted import require_signing

STEPS = ("extract", "validate", "train", "evaluate", "gate", "register", "shadow")
_TIMED = 60


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What a run is told. test: the frozen test set. audited: what people found in the sample, once they did.

    private_key: PEM file that signs the trained bundle, where only signed ones are loaded.
    """

    recipe: Recipe
    test: Path
    seed: int
    extract: ExtractOptions
    poison: PoisonOptions
    gate: GateOptions
    audited: Audited | None = None
    until_ms: int | None = None
    private_key: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """What another run would differ in; audits come later and do not count, nor does the key."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "test": _fingerprint(self.test),
            "seed": self.seed,
            "extract": self.extract.model_dump(),
            "poison": self.poison.model_dump(),
            "gate": self.gate.model_dump(),
        }


class Run:
    """One run of the seven steps, in ``HOME/retraining/NAME``."""

    def __init__(
        self, life: Life, name: str, told: Retraining, why: Because, progress: Told, command: str
    ) -> None:
        self._life, self._told, self._why, self._progress, self._command = life, told, why, progress, command
        self._folder = life.record.home / "retraining" / name
        self._name = name
        _require_frozen(life.record.home / "retraining", told.test)
        self._steps = Steps(self._folder, told.as_dict(), progress.say)

    def until(self, last: str) -> Result:
        """Every step up to ``last``; those that were done before are not done again. The last one's result.

        Raises DataError, GateRefused (the gate writes its verdict to challenger/gate.json), whatever a step
        raises.
        """
        result: Result = {}
        for name in STEPS[: STEPS.index(last) + 1]:
            result = self._steps.run(name, getattr(self, f"_{name}"))
        return result

    def _extract(self) -> Result:
        until_ms = self._told.until_ms or clock_ms()
        since_ms = until_ms - round(self._told.extract.days * DAY_MS)
        with self._life.record.database.reading() as connection:
            passed = passed_images(connection, since_ms=since_ms, until_ms=until_ms)
            settled = settled_between(connection, since_ms=since_ms, until_ms=until_ms)
        chosen = choose(passed, settled, self._told.extract, self._told.poison)
        told = write_dataset(chosen, self._life.record.blobs, self._folder / "data", self._told.poison)
        return told | {
            "num_passed": len(passed),
            "num_confirmed": sum(image.id in settled.normal for image in chosen),
            "num_contradicted": sum(image.id in settled.defective for image in passed),
            "since_ms": since_ms,
            "until_ms": until_ms,
        }

    def _validate(self) -> Result:
        """Sound files, no duplicates, nothing of the frozen test set, and scores like those of normal images."""
        data = self._folder / "data"
        report = check_dataset(data, self._told.recipe.images, workers=num_workers())
        if report.num_unreadable or report.problems:
            raise DataError(
                "the extracted images are not sound",
                expected="readable images",
                found="; ".join(report.problems[:3]),
            )
        training, test = read_dataset(data), read_dataset(self._told.test)
        packed, frozen = (
            pack_training(training, self._told.recipe.images),
            pack_test(test, self._told.recipe.images),
        )
        refuse_duplicates(
            {
                "the extracted images": dict(zip(packed.names, packed.hashes, strict=True)),
                "the frozen test set": dict(zip(frozen.names, frozen.hashes, strict=True)),
            }
        )
        champion = self._champion()
        facts, inspector = load_facts(champion), Inspector.load(champion)
        scores, lots = [], []
        for ref in training.train:
            inference = inspector.inspect_file(ref.path).inference
            scores.append(float(getattr(inference, facts.thresholds.score_name)))
            lots.append(ref.lot or ref.name)
        found = suspects(np.asarray(scores), lots, np.asarray(facts.normal_scores), self._told.poison)
        clean = require_clean(found, self._told.audited, self._told.poison)
        return clean | {
            "num_images": len(scores),
            "num_duplicates": len(report.duplicates_inside),
            "warnings": list(report.warnings),
        }

    def _train(self) -> Result:
        require_signing(self._told.private_key)
        out = self._folder / "bundle"
        train_bundle(
            self._folder / "data",
            self._told.recipe,
            out,
            seed=self._told.seed,
            command=self._command,
            told=self._progress,
        )
        if self._told.private_key is not None:
            sign_bundle(out, self._told.private_key)  # where a key is asked for, the next step loads no other
        return {"bundle": str(out), "manifest": sha256_of(out / "manifest.json")}

    def _evaluate(self) -> Result:
        """The full suite on the frozen test set, challenger and champion side by side."""
        for name, bundle in (("challenger", self._folder / "bundle"), ("champion", self._champion())):
            evaluate_bundle(
                bundle,
                self._told.test,
                self._folder / name,
                engine=None,
                with_baselines=False,
                command=self._command,
                told=self._progress,
            )
        return {"latency_ms": _latency_ms(self._folder / "bundle"), "champion": self._champion().name}

    def _gate(self) -> Result:
        measured = self._steps.done("evaluate") or {}
        challenger, champion = (
            read_json(self._folder / name / "metrics.json") for name in ("challenger", "champion")
        )
        verdict = judge(challenger, champion, float(measured["latency_ms"]), self._told.gate)
        content = json.dumps(verdict.as_dict(), indent=2) + "\n"
        write_durably(self._folder / "challenger" / "gate.json", content.encode())
        verdict.require()
        return verdict.as_dict()

    def _register(self) -> Result:
        lineage = {
            "run": self._name,
            "extract": self._steps.done("extract"),
            "validate": self._steps.done("validate"),
            "test": _fingerprint(self._told.test),
            "recipe": hashlib.sha256(self._told.recipe.model_dump_json().encode()).hexdigest(),
        }
        told = Registered(lineage=lineage, report=self._folder / "challenger")
        version = self._life.register(
            self._folder / "bundle", told, self._why, private_key=self._told.private_key, say=self._progress.say
        )
        return {"version": version}

    def _shadow(self) -> Result:
        version = str((self._steps.done("register") or {})["version"])
        roles = self._life.rollout.roles()
        if roles.challenger is None or roles.challenger.version != version:
            self._life.rollout.start(version, self._why)
        for line in self._life.try_to_follow():
            self._progress.say(line)
        return {"version": version, "state": "shadow"}

    def _champion(self) -> Path:
        champion = self._life.rollout.roles().champion
        if champion is None:
            raise LifecycleError("there is no champion to compare with", expected="a first model, promoted")
        return self._life.bundles / champion.version


def _latency_ms(bundle: Path) -> float:
    """99th percentile of one image in the default engine on one thread, in milliseconds."""
    inspector, pixels = Inspector.load(bundle), load_samples(bundle).held_out
    times = [inspector.inspect_pixels(pixels[n % len(pixels)], "timed").inference_time_ms for n in range(_TIMED)]
    return float(np.quantile(times[5:], 0.99))


def _fingerprint(test: Path) -> str:
    """Of every file of the frozen test set and its place."""
    files = sorted(path for path in test.rglob("*") if path.is_file())
    told = "".join(f"{path.relative_to(test).as_posix()}\0{sha256_of(path)}\n" for path in files)
    return hashlib.sha256(told.encode()).hexdigest()


def _require_frozen(folder: Path, test: Path) -> None:
    """The test set of the first run is that of every other: figures of two test sets cannot be compared."""
    path, found = folder / "frozen-test.txt", _fingerprint(test)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, found.encode())
    elif path.read_text(encoding="utf-8") != found:
        raise DataError(
            f"{test} is not the frozen test set",
            expected=f"{path.read_text(encoding='utf-8')[:16]}, or remove {path}",
            found=found[:16],
        )
