import re
from functools import partial
from xml.etree import ElementTree

from compress.report import theme
from compress.report.svg import SVG, files, inline, tip

EVIL = '<script>alert("1")</script> & $x$'


def draw(text, figure):
    axis = figure.subplots()
    [bar] = axis.barh(0, 2, color=theme.BLUE)
    tip(bar, text)
    axis.set_ylabel(text)
    axis.set_title("title")
    axis.imshow([[0, 1]], interpolation="none", extent=(0, 1, 1, 2))


def plot(text=EVIL, name="a-plot"):
    return theme.Plot(name, text, partial(draw, text), 3, 2)


def elements(svg, tag):
    return list(ElementTree.fromstring(svg).iter(f"{{{SVG}}}{tag}"))


def test_text_is_text_and_escaped():
    svg = inline(plot())
    assert "<script" not in svg and "&lt;script&gt;" in svg
    assert EVIL in [text.text for text in elements(svg, "text")]  # in one piece, so that it can be found and selected
    assert [title.text for title in elements(svg, "title")] == [EVIL]
    assert ElementTree.fromstring(svg).get("aria-label") == EVIL


def test_colours_are_the_pages_and_fonts_too():
    svg = inline(plot())
    assert not [value for value in theme.LIGHT.values() if value in svg]
    assert "var(--blue)" in svg and "var(--ink)" in svg
    assert "font-family" not in svg and "<style" not in svg and "metadata" not in svg
    assert not set(re.findall(r"#[0-9a-f]{6}", svg)) - {"#b0b0b0"}


def test_ids_are_used_and_of_this_plot_alone():
    one, two = (ElementTree.fromstring(inline(plot(name=name))) for name in ("one", "two"))
    ids = [{element.get("id") for element in root.iter()} - {None} for root in (one, two)]
    assert ids[0] and not ids[0] & ids[1] and all(each.startswith("one-") for each in ids[0])
    text = ElementTree.tostring(one, encoding="unicode")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used == ids[0]


def test_the_same_plot_is_the_same_bytes():
    assert inline(plot()) == inline(plot())
    assert files(plot()) == files(plot())


def test_files_keep_colours_and_fonts():
    found = files(plot("plain"))
    assert list(found) == ["a-plot.svg", "a-plot.png"]
    svg = found["a-plot.svg"].decode()
    assert theme.BLUE in svg and "var(" not in svg and "font-family" in svg
    assert found["a-plot.png"].startswith(b"\x89PNG")


def test_what_no_font_can_draw_is_no_error():
    assert "\x00" not in inline(theme.Plot("a", "alt", lambda figure: tip(figure.subplots().barh(0, 1)[0], "a\x00b"), 2, 2))
