"""Named scenarios: what a job starts from before its own parameters are laid over it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final


@dataclass(frozen=True)
class Scenario:
    """A named set of defaults: ``parameters`` and ``resource_limits`` as a job writes them."""

    summary: str
    parameters: Mapping[str, Any]
    resource_limits: Mapping[str, Any]


def _read() -> dict[str, Scenario]:
    text = files("ffmpeg_jobs").joinpath("scenarios.toml").read_text(encoding="utf-8")
    return {
        name: Scenario(row["summary"], row["parameters"], row.get("resource_limits", {}))
        for name, row in tomllib.loads(text).items()
    }


SCENARIOS: Final[Mapping[str, Scenario]] = _read()


def with_defaults(submitted: Mapping[str, Any]) -> dict[str, Any]:
    """The submitted job with its scenario's defaults under its own fields.

    A default gives way not only to the same field but also to one that contradicts it:
    another encoder has other presets, a bitrate stands in for the scenario's CRF.
    """
    filled = dict(submitted)
    scenario = SCENARIOS.get(submitted.get("scenario", ""))
    if scenario is None:
        return filled
    own = submitted.get("parameters", {})
    defaults = dict(scenario.parameters)
    dropped: set[str] = set()
    if own.get("encoder", defaults["encoder"]) != defaults["encoder"]:
        dropped |= {"preset", "tune", "crf"}
    if own.get("encoder") in ("copy", "none"):
        dropped |= {"bitrate", "width", "height", "framerate"}
    if own.get("audio_encoder") in ("copy", "none"):
        dropped.add("audio_bitrate")
    if ("width" in own) != ("height" in own):
        dropped |= {"width", "height"}  # the other side follows the source's shape
    if "bitrate" in own:
        dropped.add("crf")
    if "crf" in own:
        dropped.add("bitrate")
    filled["parameters"] = {k: v for k, v in defaults.items() if k not in dropped} | own
    filled["resource_limits"] = {**scenario.resource_limits} | submitted.get("resource_limits", {})
    return filled
