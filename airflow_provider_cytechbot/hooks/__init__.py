"""The two hooks, their common base, connection settings, masking, and the stream of flow answers."""
