"""The options of an export, and their checks before the API is called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.exports import profiles
from airflow_provider_cytechbot.exports.layouts import LAYOUTS
from airflow_provider_cytechbot.formats.csv_records import COMMA, SEPARATORS
from airflow_provider_cytechbot.formats.file_types import RAW, FileType
from airflow_provider_cytechbot.storage.storage_options import check_storage_options

EXPORT_MODES = ("full", "changes")
CAMPAIGN_PLACEHOLDER = "{flow_campaign_id}"
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True)
class ExportOptions:
    """
    The parameters of :class:`.CyTechBotFlowAnswersToObjectStorageOperator`, which explains each.

    They are rendered, but not checked: see :meth:`file_type`.
    """

    path: str
    file_format: str | None = None
    compression: str | None = None
    layout: str = "long"
    export_mode: str = "full"
    state_path: str | None = None
    overwrite: bool = True
    allow_empty: bool = False
    max_rows_per_file: int | None = None
    subscriber_fields: Sequence[str] = ()
    escape_formulas: bool = False
    byte_order_mark: bool = False
    csv_text_ids: bool = False
    csv_separator: str = COMMA
    storage_options: Mapping[str, Any] | None = None

    def file_type(self) -> FileType:
        """
        Check all options, and return the type of the files.

        :raises CyTechBotFieldError: An option is invalid, or contradicts another one.
        """
        file_type = FileType.of(self.path, self.file_format, self.compression)
        for name, known in (("layout", LAYOUTS), ("export_mode", EXPORT_MODES)):
            if (value := getattr(self, name)) not in known:
                raise field_error(name, f"must be one of {', '.join(known)}, not {value!r}")
        self._check_placeholders()
        self._check_changes()
        check_storage_options(self.storage_options, self.path, self.state_path or "")
        profiles.check_fields(self.subscriber_fields)
        self._check_csv(file_type)
        if file_type.file_format == RAW:
            self._check_raw()
        return file_type

    def path_of(self, flow_campaign_id: str) -> str:
        """Return the path of a campaign's export."""
        return self.path.replace(CAMPAIGN_PLACEHOLDER, flow_campaign_id)

    def state_path_of(self, flow_campaign_id: str) -> str:
        """Return the folder of a campaign's states."""
        return (self.state_path or "").replace(CAMPAIGN_PLACEHOLDER, flow_campaign_id)

    def check_several(self) -> None:
        """
        Check that each of several campaigns has a path of its own.

        :raises CyTechBotFieldError: They have one path.
        """
        if CAMPAIGN_PLACEHOLDER not in self.path:
            raise field_error(
                "path", "is the same for several campaigns", f"Put {CAMPAIGN_PLACEHOLDER} into it."
            )

    def _check_placeholders(self) -> None:
        check_placeholders("path", self.path)
        check_placeholders("state_path", self.state_path or "")

    def _check_changes(self) -> None:
        if self.export_mode == "changes" and not self.state_path:
            raise field_error(
                "state_path", "is needed with export_mode 'changes'", "Give a folder that stays the same."
            )
        if self.export_mode != "changes" and self.state_path:
            raise field_error(
                "state_path", "is for export_mode 'changes'", f"The export_mode is {self.export_mode!r}."
            )
        if self.export_mode == "changes" and self.layout == "wide":
            raise field_error(
                "layout", "must be 'long' with export_mode 'changes', where each answer has its own change"
            )

    def _check_csv(self, file_type: FileType) -> None:
        if self.csv_separator not in SEPARATORS:
            known = ", ".join(map(repr, SEPARATORS))
            raise field_error("csv_separator", f"must be one of {known}, not {self.csv_separator!r}")
        for name, plain in (
            ("escape_formulas", False),
            ("byte_order_mark", False),
            ("csv_text_ids", False),
            ("csv_separator", COMMA),
        ):
            if getattr(self, name) != plain and file_type.file_format != "csv":
                raise field_error(name, f"works only with CSV, and the format is {file_type.file_format}")

    def _check_raw(self) -> None:
        for name, plain in (
            ("layout", "long"),
            ("export_mode", "full"),
            ("max_rows_per_file", None),
            ("subscriber_fields", ()),
        ):
            value = getattr(self, name)
            if (tuple(value) if isinstance(value, list) else value) != plain:
                raise field_error(
                    name, "cannot be used with the format 'raw', which is the body of the answer unchanged"
                )


def check_placeholders(field: str, path: str) -> None:
    """
    Check that a path has no placeholder but that of the campaign.

    :param field: The parameter.
    :param path: The path.
    :raises CyTechBotFieldError: Another one would stay in the name of the file.
    """
    for placeholder in _PLACEHOLDER.findall(path):
        if placeholder != CAMPAIGN_PLACEHOLDER:
            raise field_error(field, f"holds {placeholder}", f"Only {CAMPAIGN_PLACEHOLDER} is replaced.")


def refuse_placeholders(field: str, path: str) -> None:
    """
    Check that a path has no placeholder.

    :param field: The parameter.
    :param path: The path.
    :raises CyTechBotFieldError: It has one, which would stay in the name of the file.
    """
    if found := _PLACEHOLDER.search(path):
        raise field_error(field, f"holds {found[0]}", "Nothing is replaced there. Use a template: {{ … }}.")
