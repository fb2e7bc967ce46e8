"""The parameter ``storage_options`` of the operators that write files, and its checks."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_cytechbot.api.fields import field_error

#: Parameters of S3 and arguments of ``open`` that are not options.
_SET_BY_THE_OPERATOR = frozenset(
    {
        "Bucket",
        "Key",
        "Body",
        "UploadId",
        "IfNoneMatch",
        "IfMatch",
        "path",
        "mode",
        "block_size",
        "autocommit",
    }
)


def check_storage_options(options: object, *paths: str) -> None:
    """
    Check the options for the store of some paths.

    :param options: The parameter, rendered.
    :param paths: The paths that are written with them. At least one must be on an object store.
    :raises CyTechBotFieldError: They are not a dictionary, or hold what is not for them.
    """
    if options is None:
        return
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise field_error("storage_options", "must be a dictionary", 'Such as {"ACL": "private"}.')
    for name in options:
        if name in _SET_BY_THE_OPERATOR:
            raise field_error("storage_options", f"holds {name!r}, which the operator sets itself")
        if name.startswith("SSECustomer"):
            raise field_error(
                "storage_options",
                f"holds {name!r}, a key that would be visible in the DAG",
                "Encrypt with a key that the store keeps: SSEKMSKeyId.",
            )
    if options and not any(map(_is_remote, paths)):
        raise field_error("storage_options", "is for object stores, and the path is a local one")


def _is_remote(path: str) -> bool:
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme not in ("file", "local")
