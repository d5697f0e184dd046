"""Pages to look at: a run, a ledger with the files beside it, two files beside each other. One HTML file each, which asks for
nothing else: no network, no script; the plots are SVG in the page."""
