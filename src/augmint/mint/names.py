"""Class names as folder names: one folder each, inside its parent folder, on every system.

folder_names(["../x", "a/b", "", "CON"])        # ["x", "a_b", "class", "CON_"]
"""

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 100  # bytes in UTF-8; file systems allow 255
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
TAKEN = {"metadata.parquet", "gallery.safetensors"}  # files that lie beside the class folders


def _plain(name: str) -> str:
    """Letters, digits, space, dot, hyphen and underscore; neither hidden nor special, never empty."""
    clean = re.sub(r"[^\w .\-]", "_", unicodedata.normalize("NFC", name))
    clean = clean.encode()[:LONGEST].decode(errors="ignore").lstrip("._ -").rstrip(". _") or "class"
    return f"{clean}_" if clean.split(".")[0].rstrip().casefold() in DEVICES else clean


def folder_names(names: Sequence[str]) -> list[str]:
    """A safe and distinct folder name for each; names differing only in case get different ones, too."""
    used, found = set(TAKEN), []
    for name in names:
        plain = chosen = _plain(name)
        number = 2
        while chosen.casefold() in used:
            chosen, number = f"{plain}-{number}", number + 1
        used.add(chosen.casefold())
        found.append(chosen)
    return found
