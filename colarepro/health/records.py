"""A folder of records: is every one whole, and what did killed runs leave behind?"""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from colarepro.errors import ColaError
from colarepro.health.asides import check_asides, seconds_since_change
from colarepro.health.finding import Finding
from colarepro.results import Damage, Record, Store
from colarepro.results.store import NAME, SET_ASIDE
from colarepro.results.unfinished import STATE, steps_done

ABOUT = "records"
FLEET_KEPT = 86_400.0
"""Seconds after a fleet's folder was last changed. It does not tell whose runs it holds, so their locks cannot say that
nobody is on them; a fleet under way that loses its folder makes it anew."""


def check_records(folder: Path, repair: bool = False) -> list[Finding]:
    """Every record read, every lock tried, every unfinished run named.

    With ``repair``, torn records are moved to the folder ``damaged``, so that their runs are performed again, and what
    killed processes left is removed: asides, locks that nobody holds, and states of fleets that nobody changed for a
    day. The rest needs somebody who knows what was meant: records under another name, differing copies, archives, which
    version control has whole.
    """
    if not folder.is_dir():
        return [Finding(ABOUT, "note", f"There are no records in {folder} yet.")]
    store = Store(folder)
    found = list(store.scan())
    whole = {each.identity for each in found if isinstance(each, Record)}
    findings = [_damage(each, store, repair) for each in found if isinstance(each, Damage)]
    findings += check_asides(folder, ABOUT, repair)
    findings += _locks(store, repair)
    findings += _unfinished(store, whole, repair)
    return [Finding(ABOUT, "fine", f"{len(whole)} whole records in {folder}."), *findings]


def _damage(damage: Damage, store: Store, repair: bool) -> Finding:
    if not repair or not _is_torn(damage.path):
        return Finding(ABOUT, "wrong", damage.said)
    aside = store.folder / SET_ASIDE / damage.path.relative_to(store.folder)
    while aside.exists():
        aside = aside.with_name(f"{aside.name}.earlier")
    aside.parent.mkdir(parents=True, exist_ok=True)
    damage.path.replace(aside)
    return Finding(ABOUT, "repaired", f"{damage.path} was no whole record and is now {aside}.")


def _is_torn(path: Path) -> bool:
    """Whether this is a single record's file that holds no record."""
    if not NAME.fullmatch(path.name) or not path.is_file():
        return False
    try:
        Record.from_json(path.read_bytes(), str(path))
    except ColaError:
        return True
    except OSError:
        return False  # it cannot be read, and may be whole
    return False


def _locks(store: Store, repair: bool) -> list[Finding]:
    """To try a lock is to hold it for an instant, in which no run can claim it; a sweep comes back to such a run."""
    findings = []
    for path in sorted((store.folder / "unfinished").glob("*.lock")):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            findings.append(Finding(ABOUT, "note", f"The run {path.stem} is being performed."))
            continue
        except OSError as error:
            findings.append(Finding(ABOUT, "wrong", f"The lock {path} cannot be tried: {error.strerror}."))
            continue
        try:
            if repair:
                path.unlink(missing_ok=True)
                findings.append(Finding(ABOUT, "repaired", f"{path}, a lock that nobody held, was removed."))
            else:
                findings.append(Finding(ABOUT, "wrong", f"{path} is a lock that nobody holds; --repair removes it."))
        finally:
            lock.release()
    return findings


def _unfinished(store: Store, recorded: set[str], repair: bool) -> list[Finding]:
    findings = []
    for folder in sorted((store.folder / "unfinished").glob("*/")):
        steps = steps_done(folder)
        then = f"goes on from step {steps}" if steps else "begins anew"
        if folder.name.startswith("fleet-"):
            findings += _fleet(folder, f"asked again for the same runs together, it {then}", repair)
            continue
        then = "it has a record, too" if folder.name in recorded else f"asked again, it {then}"
        findings.append(Finding(ABOUT, "note", f"The run {folder.name} is unfinished; {then}."))
    return findings


def _fleet(folder: Path, then: str, repair: bool) -> list[Finding]:
    """What remains of a fleet's runs makes another fleet, so nobody may ever ask for its state again."""
    try:
        age = seconds_since_change(folder)
    except FileNotFoundError:
        return []  # its records are safe meanwhile
    if age < FLEET_KEPT:
        return [Finding(ABOUT, "note", f"The fleet {folder.name} is unfinished, or under way; {then}.")]
    said = f"{folder}, a fleet's {STATE}, was last changed more than a day ago"
    if not repair:
        return [Finding(ABOUT, "wrong", f"{said}; {then}, and --repair removes it.")]
    shutil.rmtree(folder)
    return [Finding(ABOUT, "repaired", f"{said} and was removed.")]
