"""Where releases are kept: place.py says what a place can do; directory.py, oci.py and remote.py do it."""
