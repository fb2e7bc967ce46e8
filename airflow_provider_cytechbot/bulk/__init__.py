"""Bulk writes: rows of a list, file or query become API calls, with a reported outcome for each row."""
