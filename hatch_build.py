"""What hatchling runs for the metadata: the README, made fit for a page that lies outside the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: Where in Markdown a relative target begins: of an image, and of anything else.
IMAGE = re.compile(r"(!\[[^\]]*\]\()(?![a-z]+:|#)")
LINK = re.compile(r"(\]\()(?![a-z]+:|#)")


class ReadmeHook(MetadataHookInterface):
    """Make the README's relative links absolute: on a package index they would lead nowhere."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README to the metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = metadata["urls"]["Source"]
        text = IMAGE.sub(rf"\1{repository}/raw/main/", text)
        text = LINK.sub(rf"\1{repository}/blob/main/", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
