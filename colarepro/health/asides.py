"""What a killed writer left beside its target: files and folders that were never renamed into place."""

import shutil
import time
from pathlib import Path

from colarepro.files import ASIDE
from colarepro.health.finding import Finding

STALE_AFTER = 3600.0
"""Seconds; no writer of ours pauses so long between two writes, and a killed one will not go on."""


def check_asides(folder: Path, about: str, repair: bool) -> list[Finding]:
    """Asides anywhere under ``folder``: one that was written to within the last hour may belong to a living writer."""
    findings = []
    for aside in sorted(folder.rglob(f"{ASIDE}*")):
        if any(part.startswith(ASIDE) for part in aside.relative_to(folder).parts[:-1]):
            continue  # inside another aside, which goes as a whole
        try:
            age = seconds_since_change(aside)
        except FileNotFoundError:
            continue  # renamed into place meanwhile
        if age < STALE_AFTER:
            findings.append(Finding(about, "note", f"{aside} is being written, or its writer died within the hour."))
        elif repair:
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
            findings.append(Finding(about, "repaired", f"{aside}, which a killed writer had left, was removed."))
        else:
            findings.append(Finding(about, "wrong", f"{aside} was left by a killed writer; --repair removes it."))
    return findings


def seconds_since_change(path: Path) -> float:
    """Of a file, or of anything in a folder; raises `FileNotFoundError` if some of it goes meanwhile."""
    return time.time() - max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
