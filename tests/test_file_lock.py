import subprocess
import sys

from compress.file_lock import try_lock

HOLD = "import sys; from compress.file_lock import try_lock; f = open(sys.argv[1], 'ab'); print(try_lock(f), flush=True); input()"


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline().strip() == b"True"
        with path.open("ab") as file:
            assert not try_lock(file)
            other.kill()
            other.communicate()
            assert try_lock(file)  # however the other one ended
    finally:
        other.kill()
        other.communicate()


def test_closed_is_free(tmp_path):
    path = tmp_path / "lock"
    with path.open("ab") as first:
        assert try_lock(first)
        with path.open("ab") as second:
            assert not try_lock(second)
    with path.open("ab") as third:
        assert try_lock(third)
