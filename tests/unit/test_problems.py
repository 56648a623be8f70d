"""Problems cross the wire and come back as what they were."""

from __future__ import annotations

import pytest

from ffmpeg_jobs import problems
from ffmpeg_jobs.problems import Conflict, InvalidField, Problem, StaleAttempt, from_json


def leaves(cls: type[Problem]) -> list[type[Problem]]:
    """What is on the wire; the master knows some in more detail."""
    here = [sub for sub in cls.__subclasses__() if sub.__module__ == problems.__name__]
    return [leaf for sub in here for leaf in (sub, *leaves(sub))]


@pytest.mark.parametrize("cls", leaves(Problem))
def test_a_problem_comes_back_as_itself(cls: type[Problem]) -> None:
    told = cls("the sentence", extra=[1]).to_json()
    assert told["status"] == cls.status
    heard = from_json(cls.status, told)
    assert (type(heard), heard.detail, heard.members) == (cls, "the sentence", {"extra": [1]})


def test_each_has_a_type_of_its_own() -> None:
    kinds = [cls.kind for cls in leaves(Problem)]
    assert len(kinds) == len(set(kinds))


def test_the_drawn_tree_is_the_tree() -> None:
    assert problems.__doc__ is not None
    for cls in leaves(Problem):
        line = next(row for row in problems.__doc__.splitlines() if f" {cls.__name__} " in row)
        assert f" {cls.status} " in line


@pytest.mark.parametrize(
    ("status", "cls"),
    [(401, problems.Unauthorized), (409, Conflict), (413, problems.TooLarge), (502, Problem)],
)
def test_a_proxys_own_page_is_told_by_its_status(status: int, cls: type[Problem]) -> None:
    problem = from_json(status, {"detail": "go away"})
    assert (type(problem), problem.status) == (cls, status)


def test_a_body_cannot_break_its_reader() -> None:
    problem = from_json(400, {"self": 1, "detail": "x", "cls": 2})
    assert problem.members == {"self": 1, "cls": 2}


def test_a_stale_attempt_is_a_conflict() -> None:
    assert issubclass(StaleAttempt, Conflict)


def test_a_long_value_is_cut() -> None:
    problem = InvalidField.of("input", "x" * 5000, "a path")
    assert len(problem.detail) < 250
    assert problem.members["errors"][0]["field"] == "input"
