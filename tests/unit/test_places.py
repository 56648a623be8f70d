"""Which places are the same, and where no file can be."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs.places import NAMES_MAX, fault, normal
from ffmpeg_jobs.problems import InvalidField
from ffmpeg_jobs.schema import parse_job


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a/b", "//a/./c/..//b/"),
        ("http://Example.org/a", "http://example.org:80/x/../a#part"),
        ("https://example.org./a%7Eb", "https://example.org:443/a~b"),
        ("https://s3/a?X-Amz-Signature=1&X-Amz-Expires=2", "https://s3/a?X-Amz-Signature=3"),
        ("https://az/a?sv=1&sig=2&se=3", "https://user:key@az/a"),
        ("rtmp://h/live/key", "rtmp://h:1935/live/key"),
    ],
)
def test_one_place_in_two_spellings(one: str, other: str) -> None:
    assert normal(one) == normal(other)
    with pytest.raises(InvalidField, match=r"^output: .* allowed is another place than the input"):
        parse_job({"input": one, "output": other, "overwrite": True})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a/b", "/a/B"),
        ("http://h/a", "https://h/a"),
        ("http://h/a?file=1", "http://h/a?file=2"),
        ("http://h/a%2Fb", "http://h/a%252Fb"),
        ("http://h:81/a", "http://h/a"),
    ],
)
def test_two_places(one: str, other: str) -> None:
    assert normal(one) != normal(other)
    assert parse_job({"input": one, "output": other}).output == other


@pytest.mark.parametrize("field", ["input", "output"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/m/" + "x" * 256, "names of at most 255 bytes"),
        ("/m/" + "ä" * 128, "names of at most 255 bytes"),
        ("/m" * (NAMES_MAX + 1), "at most 128 names"),
        ("/" + "/".join(["ä" * 100] * 40), "at most 4095 bytes"),
    ],
    ids=["long name", "long in bytes", "deep", "long in all"],
)
def test_where_no_file_can_be(field: str, path: str, allowed: str) -> None:
    job: dict[str, Any] = {"input": "/m/in", "output": "/m/out"} | {field: path}
    with pytest.raises(InvalidField, match=f"^{field}: .*{allowed}"):
        parse_job(job)


def test_what_just_fits() -> None:
    for path in ("/m/" + "x" * 255, "/m" * NAMES_MAX, "https://h/" + "x" * 4000):
        assert fault(path) is None
