"""Look inside a compressed layer: which few values its weights share, and how often each is used. Without torch.

    python examples/codebook.py [LAYER]     without one: classifier.1.weight of artifacts/deep.sqz, a third of the file

Shows compress.read. Prints the density, the number of centroids, the bits a weight (indices of one width, their entropy, and
what the layer takes in the file, codebook and all), and a histogram: a line a centroid, and one for the pruned weights.
"""

import sys
from pathlib import Path

import numpy as np

import compress
from compress.artifact.inspect import inspect

FILE = Path(__file__).parent.parent / "artifacts" / "deep.sqz"


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "classifier.1.weight"
    shared = {key: layer for key, layer in compress.read(FILE).layers.items() if layer.kind == "shared"}
    if name not in shared:
        sys.exit(f"{name}: must be one of {', '.join(shared)}")
    layer = shared[name]
    values = np.append(np.float16(0), layer.codebook)  # index 0 is a pruned weight, index i is centroid i - 1
    uses = np.bincount(layer.indices.ravel(), minlength=len(values))
    p = uses[uses > 0] / layer.n_weights
    entropy, width = -(p * np.log2(p)).sum(), (len(values) - 1).bit_length()
    in_file = next(row.bits_per_weight for row in inspect(FILE) if row.name == name)
    density = layer.n_nonzero / layer.n_weights
    print(f"{name}: {layer.n_weights:,} weights, density {density:.3f}, {len(layer.codebook)} centroids")
    print(f"bits a weight: {width} at one width, {entropy:.2f} entropy, {in_file:.2f} in the file")
    for i in values.argsort():
        print(f"{values[i]:+.4f} {uses[i]:8,} {'#' * round(60 * uses[i] / uses.max())}{'' if i else ' pruned'}")


if __name__ == "__main__":
    main()
