import itertools
import random

import pytest

from compress.errors import InputError
from compress.release.version import Version, known

# semver.org 2.0.0, section 11, and around it; each is older than the next.
IN_ORDER = [
    *("0.0.1-0", "0.0.1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"),
    *("1.0.0-rc.1", "1.0.0", "1.0.9", "1.0.10", "1.9.0", "1.10.0"),
    *("2.0.0-1", "2.0.0-10", "2.0.0--1", "2.0.0-1a", "2.0.0", "10.0.0"),
]


def test_precedence():
    versions = [Version.parse(text) for text in IN_ORDER]
    for a, b in itertools.combinations(versions, 2):
        assert a < b and not b < a and a != b
    shuffled = random.Random(0).sample(versions, len(versions))
    assert [str(version) for version in sorted(shuffled)] == IN_ORDER


@pytest.mark.parametrize("text", IN_ORDER)
def test_the_text_stays(text):
    assert str(Version.parse(text)) == text
    assert Version.parse(text).is_release == ("-" not in text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "01.2.3",
            "1.02.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3-ä",
            " 1.2.3",
            "1.2.3\n",
        ),
        *("1.2.3\n", "-1.2.3", "1.2.3/4", "latest", "1.0.0.claim-0123456789abcdef", "1.0.0-" + "a" * 100, "١.٢.٣"),
    ],
)
def test_what_is_no_version(text):
    assert known(text) is None
    with pytest.raises(InputError, match=r"is not a version: it must be like 1\.2\.0 or 1\.2\.0-rc\.1"):
        Version.parse(text)


def test_build_metadata_are_refused_by_name():
    with pytest.raises(InputError, match=r"build metadata \(\+\.\.\.\) is not taken"):
        Version.parse("1.0.0+5")
