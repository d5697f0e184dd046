import pytest
from release_parts import net_file, put

from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.release import keys
from compress.release.listing import list_versions
from compress.release.reference import parse


def test_the_newest_first(tmp_path):
    _, name = keys.generate(tmp_path / "key")
    source = f"dir:{tmp_path}/releases/deep"
    for seed, (version, key) in enumerate({"1.9.0": None, "1.10.0": tmp_path / "key", "1.10.0-rc.1": None}.items()):
        put(net_file(tmp_path, seed), f"{source}:{version}", key=key)
    found = list_versions(parse(source))
    assert [(str(each.version), each.signed_by) for each in found] == [("1.10.0", name), ("1.10.0-rc.1", None), ("1.9.0", None)]
    sizes = [(tmp_path / f"net{seed}.sqz").stat().st_size for seed in (1, 2, 0)]
    assert [each.manifest.file.size_bytes for each in found] == sizes


def test_a_damaged_version_does_not_hide_the_others(tmp_path):
    source = f"dir:{tmp_path}/releases/deep"
    put(net_file(tmp_path), f"{source}:1.0.0")
    (tmp_path / "releases/deep/versions/1.1.0.json").write_bytes(b"{")
    damaged, whole = list_versions(parse(source))
    assert damaged.manifest is None and damaged.error.startswith(f"{source}:1.1.0: not a manifest: ")
    assert whole.manifest is not None and not whole.error


def test_a_version_of_another_name_is_refused(tmp_path):
    """As pull refuses it."""
    source = f"dir:{tmp_path}/releases/deep"
    put(net_file(tmp_path), f"{source}:1.0.0")
    folder = tmp_path / "releases/deep/versions"
    (folder / "2.0.0.json").write_bytes((folder / "1.0.0.json").read_bytes())
    other, whole = list_versions(parse(source))
    assert other.error == f"{source}:2.0.0: replaced: its manifest is of deep:1.0.0" and other.manifest is None
    assert whole.manifest is not None


def test_what_cannot_be_listed(tmp_path):
    (tmp_path / "releases").mkdir()
    for source, kind, message in (
        (f"{tmp_path}/releases/deep:1.0.0", InputError, "has a version; what is listed is dir:.*/deep$"),
        (f"{tmp_path}/releases/deep", ReleaseError, "no version is published there"),
        (f"{tmp_path}/none/deep", PlaceUnreachable, "none is no folder, or not there"),
    ):
        with pytest.raises(kind, match=message):
            list_versions(parse(source))
