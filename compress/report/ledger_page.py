"""The page of a ledger: all its finished files against each other, and each that lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.ledger import ledger
from compress.report import plot_layers, plot_sizes
from compress.report.byte_parts import PARTS, ModuleBytes, by_module, total
from compress.report.layer_facts import CodingTotals, LayerFacts, layer_facts, totals
from compress.report.page import Drawer, Drawn, Page
from compress.report.published import Entry, Published, display_names
from compress.report.set_sections import set_sections
from compress.report.sqz_file import SqzFile
from compress.report.template import fill
from compress.report.texts import fp32_bytes


@dataclass(frozen=True, eq=False)
class FileSection:
    """anchor: its id in the page. coding: None where no layer has shared values."""

    anchor: str
    title: str
    entry: Entry
    file: SqzFile
    fp32_bytes: int
    modules: list[ModuleBytes]
    whole: ModuleBytes
    parts: list[str]
    file_bytes: Drawn
    facts: list[LayerFacts]
    coding: CodingTotals | None
    density_and_bits: Drawn


def ledger_page(published: Published, *, keep_plots: bool = False) -> Page:
    """keep_plots: as files too."""
    drawer = Drawer(keep_plots)
    names = display_names([entry.run_id for entry in published.entries])
    files = {entry.run_id: entry.file for entry in published.entries if entry.file is not None}
    sets = set_sections(published.rows, names, drawer, own=None, files=files)
    sections = _sections(published.entries, names, drawer)
    html = fill(
        "ledger.html",
        published=published,
        names=names,
        set_sections=sets,
        titles={each.digest: each.title for each in sets},
        smallest=published.entries[0],
        most_compressed=max(published.entries, key=lambda entry: entry.finals[0].ratio_fp32),
        sections=sections,
        anchors={section.entry.run_id: section.anchor for section in sections},
        alexnet_bytes=ledger.ALEXNET_BYTES,
    )
    return Page(html, drawer.files)


def _sections(entries: Sequence[Entry], names: dict[str, str], drawer: Drawer) -> list[FileSection]:
    found = []
    for number, entry in enumerate(entries, start=1):
        if entry.file is None:
            continue
        modules = by_module(entry.file.rows)
        facts = layer_facts(entry.file.artifact, entry.file.rows, {}, {})
        found.append(
            FileSection(
                anchor=f"file-{number}",
                title=names[entry.run_id],
                entry=entry,
                file=entry.file,
                fp32_bytes=fp32_bytes(entry.rows),
                modules=modules,
                whole=total(modules),
                parts=[part for part in PARTS if part in total(modules).bytes_of],
                file_bytes=drawer.draw(plot_sizes.file_bytes(modules, f"file-{number}-bytes")),
                facts=facts,
                coding=totals(facts),
                density_and_bits=drawer.draw(plot_layers.density_and_bits(facts, f"file-{number}-density-and-bits")),
            )
        )
    return found
