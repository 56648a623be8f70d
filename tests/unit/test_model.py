"""The nouns and their contract hold the same names."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from ffmpeg_jobs import contract, model

PAIRS: list[tuple[Any, dict[str, Any]]] = [
    (model.Job, contract.JOB),
    (model.AuditEntry, contract.AUDIT_ENTRY),
    (model.Group, contract.GROUP),
    (model.Parameters, contract.PARAMETERS),
    (model.Limits, contract.LIMITS),
    (model.Terms, contract.TERMS),
    (model.Claim, contract.CLAIM),
    (model.Claimed, contract.CLAIMED),
    (model.Refused, contract.CLAIMED["properties"]["refused"]["items"]),
    (model.Result, contract.CLAIM_REQUEST["properties"]["results"]["items"]),
    (model.Progress, contract.PROGRESS),
    (model.Usage, contract.USAGE),
    (model.Media, contract.MEDIA),
    (model.Outcome, contract.OUTCOME),
    (model.AttemptStatus, contract.ATTEMPT_STATUS),
    (model.JobStatus, contract.JOB_STATUS),
    (model.Callback, contract.JOB_STATUS["properties"]["callback"]),
    (model.AuditEntry, contract.AUDIT_ENTRY),
    (model.Machine, contract.MACHINE),
    (model.Free, contract.FREE),
    (model.WorkerStatus, contract.WORKER_STATUS),
    (model.Heartbeat, contract.HEARTBEAT),
    (model.Report, contract.HEARTBEAT["properties"]["running"]["items"]),
    (model.TenantLimits, contract.TENANT_LIMITS),
    (model.TenantStatus, contract.TENANT_STATUS),
    (model.HeartbeatAnswer, contract.HEARTBEAT_ANSWER),
    (model.HeartbeatOrder, contract.HEARTBEAT_ANSWER["properties"]["orders"]["items"]),
]


@pytest.mark.parametrize(("noun", "schema"), PAIRS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_noun_and_its_schema_have_the_same_fields(noun: Any, schema: dict[str, Any]) -> None:
    fields = dataclasses.fields(noun)
    assert [field.name for field in fields] == list(schema["properties"])
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert needed == set(schema.get("required", []))


def test_each_noun_is_frozen_and_has_a_contract() -> None:
    nouns = [cls for _, cls in inspect.getmembers(model, dataclasses.is_dataclass)]
    assert {noun for noun, _ in PAIRS} == set(nouns)
    assert [noun for noun in nouns if not noun.__dataclass_params__.frozen] == []


def described(schema: Any) -> list[Any]:
    """Each schema inside ``schema`` that has no words."""
    if not isinstance(schema, dict):
        return []
    inner = [*schema.get("properties", {}).values(), schema.get("items")]
    return [s for i in inner for s in described(i)] + ([] if "description" in schema else [schema])


@pytest.mark.parametrize(("noun", "schema"), PAIRS, ids=lambda x: getattr(x, "__name__", ""))
def test_whatever_may_be_refused_says_what_is_allowed(noun: Any, schema: dict[str, Any]) -> None:
    assert described(schema) == []


def test_final_states_are_those_that_nothing_follows() -> None:
    live = {model.State.QUEUED, model.State.RUNNING, model.State.PAUSED}
    assert set(model.State) - live == model.FINAL_STATES


def test_only_what_another_machine_can_mend_is_retried() -> None:
    retried = {reason.value for reason in model.RETRIED_REASONS}
    assert retried == {"network_error", "worker_lost", "disk_full", "output_error"}
