"""The NNCodec side of rate_accuracy.py, run by the Python of an environment of its own: numpy < 2 and nncodec, nothing else.

    python nncodec_peer.py WEIGHTS.npz QP OUT.npz

WEIGHTS.npz: 2-D float32 arrays, rows are output channels. Each is quantized with uniform steps and dependent quantization at the
quantization parameter QP (-32 fine, -22 coarse) and coded by DeepCABAC, ISO/IEC 15938-17 as the package has it. OUT.npz: the
weights as they decode. Prints the coded bytes of all.
"""

import sys

import numpy as np
from nncodec.extensions.deepCABAC import Decoder, Encoder, HdspMode

DENSITY, DEPENDENT = 2, 1  # of steps an octave; dependent (trellis) quantization


def coded(weight, qp):
    """(bytes, weights as they decode)."""
    encoder = Encoder()
    encoder.initCtxModels(10, 0)
    levels = np.zeros(weight.shape, np.int32)
    used_qp = encoder.quantLayer(weight, levels, DEPENDENT, DENSITY, qp, 0.0, 10, 0, 1)
    encoder = Encoder()
    encoder.initCtxModels(10, 0)
    rows = np.zeros(len(weight), np.int32)
    encoder.encodeLayer(levels, DEPENDENT, 0, 1, 0, 0, rows, HdspMode.AlwaysOff, np.zeros(0, np.int8), 0, 0)
    stream = encoder.finish()
    decoded = np.zeros(weight.shape, np.float32)
    Decoder().dequantLayer(decoded, levels, DENSITY, used_qp, 0)
    return len(stream), decoded


def main(weights_file, qp, out_file):
    weights = np.load(weights_file)
    found = {name: coded(np.ascontiguousarray(weights[name], np.float32), int(qp)) for name in weights.files}
    np.savez(out_file, **{name: decoded for name, (_, decoded) in found.items()})
    print(sum(n_bytes for n_bytes, _ in found.values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
