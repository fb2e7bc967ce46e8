"""Transfers of flow answers to object storage."""
