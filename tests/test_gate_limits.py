import pytest

from compress.errors import LimitsError
from compress.gate import limits
from compress.gate.limits import LIMITS, ArtifactLimits, allowed_growth_bytes

WHOLE = """\
artifacts:
  net.sqz:
    max_bytes: 500_000
    max_growth: 0.5%
    min_top1: 0.5
    min_agreement: {val500: 0.8, broad250: 0.75}
    max_drop: 1
    max_seconds: 600
    measure:
      - {set: "folder:$DATA/val500", teacher: net.pt}
      - {set: [bundled]}
"""


def one(text):
    return limits.parse(f"artifacts:\n  net.sqz:\n    {text}\n", "limits.yaml").artifacts["net.sqz"]


def test_every_field():
    found = limits.parse(WHOLE, "limits.yaml").artifacts["net.sqz"]
    assert found.max_bytes == 500_000 and found.max_growth == "0.5%" and found.min_top1 == 0.5
    assert found.min_agreement == {"val500": 0.8, "broad250": 0.75} and found.max_drop == 1 and found.max_seconds == 600
    assert [section.set[0].source for section in found.measure] == ["folder:$DATA/val500", "bundled"]
    assert found.measure[0].teacher == "net.pt"


def test_the_limits_are_all_the_fields_but_measure():
    assert set(LIMITS) | {"measure"} == set(ArtifactLimits.model_fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_byte: 3", "limits.yaml:3: unknown field artifacts.net.sqz.max_byte; did you mean max_bytes?"),
        ("max_bytes: 0", "limits.yaml:3: artifacts.net.sqz.max_bytes: must be greater than 0, got 0"),
        ("max_bytes: 466,271", "limits.yaml:3: artifacts.net.sqz.max_bytes: must be a valid integer, got '466,271'"),
        ("max_bytes: true", "must be a valid integer, got True"),
        (
            "max_growth: 1.5",
            "must be a whole number of bytes from 0 to 1,099,511,627,776, or a percentage such as 0.5%, at most 1000%, got 1.5",
        ),
        ("max_growth: -1", "at most 1000%, got -1"),
        ("max_growth: nan%", "at most 1000%, got 'nan%'"),
        ("max_growth: false", "at most 1000%, got False"),
        ("max_growth: 2000000000000", "max_growth: must be a whole number of bytes from 0 to 1,099,511,627,776, or"),
        (f"max_growth: 1{'0' * 400}", "limits.yaml:3: a number of 401 characters, at most 40 are allowed"),
        (f"max_growth: {'9' * 5000}%", "limits.yaml:3: artifacts.net.sqz.max_growth: must be a whole number of bytes"),
        ("max_growth: 1000.1%", "at most 1000%, got '1000.1%'"),
        (f"max_bytes: 1{'0' * 39}", "artifacts.net.sqz.max_bytes: must be less than or equal to 1099511627776"),
        ("max_bytes: 1:00:00", "limits.yaml:3: 1:00:00 is a number of base 60 in YAML"),
        ("max_bytes: 01000", "limits.yaml:3: 01000 is a number of base 8 in YAML"),
        ("min_top1: 52", "must be a share in [0, 1], or a table of such numbers by the names of test sets, got 52"),
        ("min_top1: .nan", "must be a share in [0, 1]"),
        ("min_top1: {}", "must be a share in [0, 1]"),
        ("min_top1: {val: .nan}", "limits.yaml:3: artifacts.net.sqz.min_top1: must be a share in [0, 1]"),
        ("min_top1: {1: 0.5}", "must be a share in [0, 1]"),
        ("min_top1: '0.5'", "must be a share in [0, 1]"),
        ("min_agreement: yes", "must be a share in [0, 1]"),
        ("max_drop: .inf", "must be points in [-100, 100]"),
        ("max_seconds: .nan", "max_seconds: must be a finite number"),
        ("max_seconds: 0", "max_seconds: must be greater than 0"),
        (
            "measure: [{set: bundled}]",
            "limits.yaml:2: artifacts.net.sqz: holds no limit; at least one of max_bytes, max_growth, ",
        ),
        (
            "max_bytes: 3\n    measure: [{set: nowhere}]",
            "limits.yaml:4: artifacts.net.sqz.measure.0.set.0.source: String must match",
        ),
        (
            "max_bytes: 3\n    measure: [{set: bundled, teacher: none, teacher_sha256: ab}]",
            "teacher_sha256: is the digest of a file, and teacher is none",
        ),
        ("max_bytes: 3\n    measure: [{sett: bundled}]", "unknown field artifacts.net.sqz.measure.0.sett; did you mean set?"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(LimitsError) as refused:
        one(text)
    assert message in str(refused.value), str(refused.value)


@pytest.mark.parametrize("name", ["net", "../net.sqz", "a/net.sqz", "a\\net.sqz", '"a\\nb.sqz"'])
def test_an_artifact_is_named_by_its_file_beside_the_limits(name):
    with pytest.raises(LimitsError, match=r"must be the name of a \.sqz file beside the limits file"):
        limits.parse(f"artifacts:\n  {name}: {{max_bytes: 3}}\n", "limits.yaml")


@pytest.mark.parametrize("text", ["artifacts: {}", "artifacts:", "artifacts: {net.sqz: }"])
def test_a_file_without_limits_is_refused(text):
    with pytest.raises(LimitsError, match=r"limits\.yaml:1: artifacts"):
        limits.parse(text, "limits.yaml")


@pytest.mark.parametrize(
    ("limit", "old", "allowed"),
    [(100, 7, 100), (0, 7, 0), ("0%", 1000, 0), ("0.5%", 1000, 5), ("0.1%", 999, 0), ("0.1%", 466_271, 466), ("33.3%", 10, 3)],
)
def test_growth_in_bytes_or_percent_of_the_old_size(limit, old, allowed):
    assert allowed_growth_bytes(limit, old) == allowed


def test_the_documents_example_is_valid_and_names_every_field(pytestconfig):
    text = (pytestconfig.rootpath / "docs" / "GATE.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    [found] = limits.parse(example, "GATE.md").artifacts.values()
    assert all(getattr(found, field) for field in ArtifactLimits.model_fields)
    assert all(f"| `{field}` |" in text for field in ArtifactLimits.model_fields)
