"""Image sets that tests make: a folder with a sub-folder a class, and webdataset shards."""

import io
import tarfile

import numpy as np
from PIL import Image


def noise(seed, size=(48, 40)):
    """A picture that is like no other."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def flat(level, size=(16, 12)):
    return Image.new("RGB", size, (level,) * 3)


def stored(image, format, **options):
    """The bytes of a picture's file."""
    written = io.BytesIO()
    image.save(written, format, **options)
    return written.getvalue()


def png(image):
    return stored(image, "PNG")


def write_folder(folder, images):
    """images: "class/name.png" -> a picture, or the bytes of a file."""
    for name, image in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image if isinstance(image, bytes) else png(image))
    return folder


def write_shard(path, samples):
    """samples: key -> (picture, label or None)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, (image, label) in samples.items():
            members = {"png": image if isinstance(image, bytes) else png(image)}
            members |= {} if label is None else {"cls": str(label).encode()}
            for extension, data in members.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path
