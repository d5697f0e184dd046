import pytest

from compress.errors import InputError
from compress.release.reference import is_host, is_loopback, parse


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dir:releases/deep:1.0.0", ("dir", "releases", "deep", "1.0.0")),
        ("releases/deep:1.0.0", ("dir", "releases", "deep", "1.0.0")),
        ("./deep:1.0.0-rc.1", ("dir", ".", "deep", "1.0.0-rc.1")),
        ("./deep", ("dir", ".", "deep", None)),
        ("dir:/deep", ("dir", "/", "deep", None)),
        ("dir:/a b/c:d@e/deep-v1.1_x", ("dir", "/a b/c:d@e", "deep-v1.1_x", None)),
        ("C:/releases/deep", ("dir", "C:/releases", "deep", None)),
        ("oci:localhost:5000/deep:1.0.0", ("oci", "localhost:5000", "deep", "1.0.0")),
        ("oci:registry.example/a/b/deep", ("oci", "registry.example/a/b", "deep", None)),
        ("s3:bucket/nets/deep:1.0.0", ("s3", "bucket/nets", "deep", "1.0.0")),
        ("s3://bucket/nets/deep:1.0.0", ("s3", "bucket/nets", "deep", "1.0.0")),
    ],
)
def test_parts(text, parts):
    found = parse(text)
    assert (found.scheme, found.place, found.name, found.version and str(found.version)) == parts
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no place"),
        ("deep:1.0.0", "names no place: it must be SCHEME:PLACE/NAME:VERSION, for instance dir:"),
        ("oci:deep", "names no place"),
        ("s3:/deep", "names no place"),
        ("releases/:1.0.0", "the name is '', must be small letters"),
        ("releases/Deep:1.0.0", "the name is 'Deep'"),
        ("releases/..:1.0.0", r"the name is '\.\.'"),
        ("releases/a..b", r"the name is 'a\.\.b'"),
        ("releases/-a", "the name is '-a'"),
        ("releases/" + "a" * 101, "at most 100 characters"),
        ("releases/deep:latest", "'latest' is not a version"),
        ("releases/deep:", "'' is not a version"),
        ("rel\0eases/deep", "names no place"),
        ("oci:a..b/deep", r"the registry is 'a\.\.b', must be HOST or HOST:PORT"),
        ("oci:host:99999/deep", "the registry is 'host:99999'"),
        ("oci:host:x/deep", "the registry is 'host:x'"),
        ("oci:[::1/deep", "the registry is"),
        ("oci:h\u00f6st/deep", "the registry is"),
        ("oci:\udcff/deep", "the registry is"),
        ("oci:" + "a" * 64 + "/deep", "the registry is"),
        ("oci:ho st/a/deep", "the registry is 'ho st'"),
    ],
)
def test_what_is_no_reference(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


def test_a_target_needs_a_version():
    with pytest.raises(InputError, match="'releases/deep' has no version: it must be SCHEME:PLACE/NAME:VERSION"):
        parse("releases/deep", needs_version=True)


@pytest.mark.parametrize("text", ["oci:user:secret@host/deep:1.0.0", "s3://key:secret@bucket/deep", "oci:secret@h/x/deep:1.0.0"])
def test_a_password_is_refused_and_not_echoed(text):
    with pytest.raises(InputError, match="must not hold a user or a password") as caught:
        parse(text)
    assert "secret" not in str(caught.value)


def test_loopback():
    assert all(map(is_loopback, ["localhost", "localhost:5000", "127.0.0.1", "127.0.0.53:80", "[::1]:5000"]))
    assert not any(map(is_loopback, ["localhost.example", "127.0.0.1.example", "10.0.0.1", "example:5000", "", "x127.0.0.1"]))


def test_hosts():
    assert all(map(is_host, ["a", "a_b-c.example", "example.org.", "EXAMPLE.org:443", "127.0.0.1:1", "[::1]", "[f::1]:65535"]))
    assert not any(map(is_host, ["", ".", "a..b", ".a", ":5", "a:", "a:0", "a:65536", "a b", "a/b", "a@b", "[x]", "[", "a" * 64]))


def test_a_home_folder_of_nobody():
    reference = parse("~nobody-of-this-name/r/deep")
    for look in (lambda: reference.folder, lambda: reference.identity):
        with pytest.raises(InputError, match="'~nobody-of-this-name' is the home folder of nobody"):
            look()
