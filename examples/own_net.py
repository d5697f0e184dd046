"""Compress a net of your own (small_net.py), trained on a folder: train/ and val/, in each ten sub-folders of PNGs, one a class.

    python examples/own_net.py [FOLDER]     without one: scikit-learn's digits, written as such a folder

Shows compress.run with a recipe as a dict, and compress.load with the function that makes the net.
Prints bytes and accuracy on val/, before and after. All that it writes is in one temporary folder, named at the end.
"""

import sys
import tempfile
from pathlib import Path

import torch
from small_net import load_pictures, small_net, train, write_digits

import compress

work = Path(tempfile.mkdtemp())
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else work / "digits"
if len(sys.argv) == 1:
    write_digits(folder)
assert len(list((folder / "train").glob("*/"))) == 10, f"{folder}/train: small_net needs ten sub-folders, one a class"
torch.manual_seed(0)
net, weights = small_net(), work / "small_net.pt"
train(net, *load_pictures(folder / "train"))
torch.save(net.state_dict(), weights)
recipe = {
    "name": "own-net",
    "model": {"factory": "small_net:small_net", "weights": str(weights)},  # "module:function", importable from here
    "input": {"channels": "L", "size": 16, "resize": 16, "mean": [0.0], "std": [1.0]},  # what load_pictures gives
    "data": {"tune": f"folder:{folder}/train", "test": f"folder:{folder}/val"},
    "prune": {"density": 0.4, "tune": {"steps": 150, "learning_rate": 0.01}},
    "quantize": {"bits": 4, "assignment": "reassign", "tune": {"steps": 150, "learning_rate": 0.005}},
}
result = compress.run(recipe, runs=work, allow_overlap=True)  # digits look so alike that some are taken for one in both
smaller = compress.load(result.artifact, model=small_net)
x, y = load_pictures(folder / "val")
for file, each in ((weights, net.eval()), (result.artifact, smaller)):
    print(f"{file}: {file.stat().st_size:,} bytes, accuracy {(each(x).argmax(1) == y).double().mean():.3f}")
