"""Files that appear whole or not at all on any object storage, and scratch files on the worker's disk."""
