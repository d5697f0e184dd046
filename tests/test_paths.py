import pytest

from compress import paths
from compress.errors import RecipeError
from compress.paths import expand


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("SETS", "/where/they/are")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("NESTED", "$SETS")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$SETS/val", "/where/they/are/val"),
        ("${SETS}2/val", "/where/they/are2/val"),
        ("a/$SETS/$SETS", "a//where/they/are//where/they/are"),
        ("s3://bucket/train-{0000..0009}.tar", "s3://bucket/train-{0000..0009}.tar"),
        ("$SETS/{train,val}-*.tar", "/where/they/are/{train,val}-*.tar"),
        ("$NESTED", "$SETS"),  # once, as a shell does
        ("no variable, 5$ and $5 and ${0..5} and $", "no variable, 5$ and $5 and ${0..5} and $"),
        ("", ""),
    ],
)
def test_variables_are_replaced_and_nothing_else(text, expanded):
    assert expand(text, field="data.test") == expanded


@pytest.mark.parametrize("name", ["UNSET", "EMPTY"])
@pytest.mark.parametrize("form", ["${}/val", "${{{}}}/val"])
def test_a_variable_that_is_not_set_is_named_with_its_field(name, form):
    text = form.format(name)
    with pytest.raises(RecipeError) as refused:
        expand(text, field="data.tune.1")
    assert str(refused.value) == f"data.tune.1: {text}: the environment variable {name} is not set, or empty"


@pytest.mark.parametrize("value", [None, ""])
def test_the_projects_own_data_have_a_default_place_which_is_told_once(monkeypatch, caplog, value):
    paths._tell_default.cache_clear()
    if value is None:
        monkeypatch.delenv("SQUEEZE_DATA", raising=False)
    else:
        monkeypatch.setenv("SQUEEZE_DATA", value)
    assert expand("$SQUEEZE_DATA/val", field="data.test") == "../shared/data/val"
    assert expand("$SQUEEZE_DATA", field="data.tune") == "../shared/data"
    assert caplog.messages == ["SQUEEZE_DATA is not set: ../shared/data is taken"]
    monkeypatch.setenv("SQUEEZE_DATA", "/elsewhere")
    assert expand("$SQUEEZE_DATA/val", field="data.test") == "/elsewhere/val"
