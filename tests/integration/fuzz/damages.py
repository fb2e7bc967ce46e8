"""Damages of files: what disks, copies and people do to them."""

from __future__ import annotations

import shutil

from hypothesis import strategies as st

KINDS = ("cut", "flip", "remove", "empty", "append", "swap")
#: Which file, how, at which byte, and which bits.
DAMAGES = st.lists(
    st.tuples(
        st.integers(0, 100),
        st.sampled_from(KINDS),
        st.integers(0, 10_000),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=2,
)

#: How often a folder is copied that changes meanwhile.
TRIES = 50


def damaged(content, how, at, bits):
    """Return some content with one damage."""
    at %= max(1, len(content))
    match how:
        case "flip":
            return content[:at] + bytes(each ^ bits for each in content[at : at + 1]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "append":
            return content + bytes([bits]) * 3
    return b""


def damage(folder, names, damages):
    """Damage files of a folder, and return the names and kinds."""
    done = []
    for which, how, at, bits in damages:
        path = folder / names[which % len(names)]
        if not path.exists():
            continue
        other = folder / names[at % len(names)]
        if how == "remove":
            path.unlink()
        elif how == "swap":
            path.write_bytes(other.read_bytes() if other.exists() else b"")
        else:
            path.write_bytes(damaged(path.read_bytes(), how, at, bits))
        done.append((path.name, how))
    return done


class Snapshot:
    """
    A folder, and what the server has, at one moment.

    :param source: The folder.
    :param target: Where its copy goes.
    :param beside: What the server has.
    """

    def __init__(self, source, target, **beside):
        for _ in range(TRIES):
            try:
                shutil.copytree(source, target)
                break
            except shutil.Error:  # the run has renamed or removed a file meanwhile
                shutil.rmtree(target)
        else:
            raise AssertionError(f"{source} changes all the time")
        self.folder, self.beside = target, beside

    def copy(self, target):
        """Copy the folder again."""
        shutil.copytree(self.folder, target)
        return target
