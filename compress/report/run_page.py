"""The page of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compress.layer import SharedLayer
from compress.ledger import ledger
from compress.report import plot_accuracy, plot_layers, plot_sizes, plot_weights
from compress.report.byte_parts import PARTS, by_module, total
from compress.report.layer_facts import LayerFacts, layer_facts, totals
from compress.report.page import Drawer, Drawn, Page
from compress.report.pictures import ChangedPictures
from compress.report.published import display_names, final_rows
from compress.report.run import Run
from compress.report.set_sections import set_sections
from compress.report.template import fill
from compress.report.texts import ASIDE, STAGES, fp32_bytes, reported_first

MAX_HISTOGRAMS = 64


@dataclass(frozen=True)
class Histogram:
    facts: LayerFacts
    drawn: Drawn


def run_page(
    run: Run, others: Sequence[ledger.Row], *, others_name: str, changed: Sequence[ChangedPictures] = (), keep_plots: bool = False
) -> Page:
    """others: rows of a ledger, which the run is shown beside; others_name: of that ledger, "" where there is none. changed:
    pictures whose prediction changed, by set. keep_plots: as files too."""
    drawer = Drawer(keep_plots)
    artifact, rows = run.file.artifact, run.file.rows
    modules = by_module(rows)
    facts = layer_facts(artifact, rows, run.before, run.sensitivity)
    finals = reported_first(final_rows(run.rows))
    merged = ledger.merge(others, run.rows)
    names = display_names([row.run_id for row in merged])
    html = fill(
        "run.html",
        run=run,
        artifact=artifact,
        finals=finals,
        final=final_rows(run.rows)[0],
        fp32_bytes=fp32_bytes(run.rows),
        alexnet_bytes=ledger.ALEXNET_BYTES,
        accuracy=drawer.draw(plot_accuracy.sets(finals)),
        stages=[row for row in run.rows if not row.stage.startswith("report ")],
        stage_texts=STAGES,
        aside=ASIDE,
        waterfall=drawer.draw(plot_sizes.waterfall(run.rows)),
        stage_agreement=drawer.draw(plot_accuracy.stages(run.rows)),
        modules=modules,
        parts=[part for part in PARTS if part in total(modules).bytes_of],
        whole=total(modules),
        file_bytes=drawer.draw(plot_sizes.file_bytes(modules)),
        file_shares=drawer.draw(plot_sizes.file_shares(modules)),
        facts=facts,
        coding_totals=totals(facts),
        density_and_bits=drawer.draw(plot_layers.density_and_bits(facts)),
        error_and_sensitivity=drawer.draw(plot_layers.error_and_sensitivity(facts)),
        histograms=_histograms(run, facts, drawer),
        kernels=_kernels(run, drawer),
        others_name=others_name,
        set_sections=set_sections(merged, names, drawer, own=run.run_id, files={run.run_id: run.file}),
        names=names,
        changed=changed,
    )
    return Page(html, drawer.files)


def _histograms(run: Run, facts: Sequence[LayerFacts], drawer: Drawer) -> list[Histogram]:
    """Of the layers with shared values; where they are too many, of the largest."""
    layers = run.file.artifact.layers
    shared = [each for each in facts if isinstance(layers[each.name], SharedLayer) and each.name in run.before]
    largest = {each.name for each in sorted(shared, key=lambda each: -each.n_weights)[:MAX_HISTOGRAMS]}
    found = []
    for number, each in enumerate(shared):
        layer = layers[each.name]
        if each.name in largest and isinstance(layer, SharedLayer):
            found.append(Histogram(each, drawer.draw(plot_weights.histogram(number, each.name, run.before[each.name], layer))))
    return found


def _kernels(run: Run, drawer: Drawer) -> dict[str, Any] | None:
    """Of the first convolution; None for a net without one."""
    artifact = run.file.artifact
    first = next((layer for layer in artifact.layers.values() if len(layer.shape) == 4), None)
    if first is None or first.name not in run.before:
        return None
    described = artifact.metadata.get("input")
    channels = described.get("channels") if isinstance(described, dict) else None
    plots = plot_weights.kernels(first.name, run.before[first.name], first.values(), str(channels))
    in_colour = first.shape[1] == 3 and channels in ("RGB", "BGR")
    return {"name": first.name, "shape": first.shape, "in_colour": in_colour, "drawn": drawer.draw_all(plots)}
