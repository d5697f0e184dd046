"""The .sqz container. docs/FORMAT.md is the specification; layout.py has its fields, writer.py and reader.py its two ends."""
