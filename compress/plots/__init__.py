"""Pictures of a training run: its curves, the classes that it mistakes, the images that it gets most wrong."""
