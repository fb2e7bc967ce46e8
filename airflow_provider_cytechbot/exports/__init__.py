"""Exports: the answers of flow campaigns as tables, full or as changes, in one file or several."""
