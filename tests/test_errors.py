import re

import pytest

from compress import errors


def classes():
    return {name: value for name, value in vars(errors).items() if isinstance(value, type)}


def test_the_docstring_names_every_class_and_no_other():
    tree = errors.__doc__.partition("Codes:")[0]
    assert set(re.findall(r"\b[A-Z]\w*[a-z][A-Z]\w+\b", tree)) == set(classes())


def test_the_docstring_draws_the_tree():
    """A name's indentation is its depth below Exception."""
    depths = {m[2]: (m.start(2) - m.start(1)) // 4 for m in re.finditer(r"^(    [│├└─ ]*)(\w+)", errors.__doc__, re.MULTILINE)}
    for apart in ("TargetMissed", "ProblemsFound", "GateFailed", "TrainingInterrupted"):  # for their exit codes
        assert errors.CompressError in classes()[apart].__bases__
        del depths[apart]
    for name, depth in depths.items():
        assert len(classes()[name].__mro__) - 4 == depth - 1, name  # less object, BaseException, Exception, itself


@pytest.mark.parametrize("name", sorted(classes()))
def test_exit_codes(name):
    error = classes()[name]
    assert issubclass(error, errors.CompressError)
    judged = dict.fromkeys((errors.TargetMissed, errors.ProblemsFound, errors.GateFailed), 1)
    assert error.exit_code == {**judged, errors.TrainingInterrupted: 130}.get(error, 2)


def test_a_caller_can_catch_by_kind():
    assert issubclass(errors.CorruptStream, errors.CorruptArtifact) and issubclass(errors.CorruptArtifact, errors.ArtifactError)
    assert issubclass(errors.RecipeError, errors.InputError) and not issubclass(errors.ArtifactError, errors.InputError)
    assert not issubclass(errors.CompressError, ValueError | OSError)
