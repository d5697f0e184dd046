"""The pages' templates, by jinja2: every value is escaped, and one that is not there is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import MissingDependency
from compress.plots.figure import matplotlib
from compress.report import texts
from compress.report.theme import DARK, LIGHT

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILTERS = {
    "comma": texts.comma,
    "signed": texts.signed,
    "percent": texts.percent,
    "significant": texts.significant,
    "drop": texts.drop,
    "times": texts.times,
    "set_name": texts.set_name,
    "as_json": texts.as_json,
    "pixels": texts.pixels,
    "reported_first": texts.reported_first,
}


def check_dependencies() -> None:
    """Raises MissingDependency where something that a page needs is not installed."""
    try:
        import jinja2  # noqa: F401

        matplotlib()
    except (ModuleNotFoundError, MissingDependency) as error:
        raise MissingDependency("a page needs matplotlib and jinja2: pip install 'squeeze-compress[report]'") from error


def fill(name: str, **values: Any) -> bytes:
    """A page. name: of its template."""
    text = _environment().get_template(name).render(values, light=LIGHT, dark=DARK)
    return (text.strip() + "\n").encode()


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(FILTERS, dotted=_dotted)
    found.globals["share_interval"] = texts.share_interval
    return found


def _dotted(name: str) -> Markup:
    """A name that a line may break after each dot of: "features.3.squeeze"."""
    from markupsafe import Markup

    return Markup(".<wbr>").join(name.split("."))
