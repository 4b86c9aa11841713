"""A folder of records: is every one whole, and what did killed runs leave behind?"""

from pathlib import Path

from filelock import FileLock, Timeout

from colarepro.errors import ColaError
from colarepro.health.asides import check_asides
from colarepro.health.finding import Finding
from colarepro.results import Damage, Record, Store
from colarepro.results.store import NAME, SET_ASIDE

ABOUT = "records"


def check_records(folder: Path, repair: bool = False) -> list[Finding]:
    """Every record read, every lock tried, every unfinished run named.

    With ``repair``, torn records are moved to the folder ``damaged``, so that their runs are performed again, and what
    killed processes left is removed: asides, and locks that nobody holds. The rest needs somebody who knows what was
    meant: records under another name, differing copies, archives, which version control has whole.
    """
    if not folder.is_dir():
        return [Finding(ABOUT, "note", f"There are no records in {folder} yet.")]
    store = Store(folder)
    found = list(store.scan())
    whole = {each.identity for each in found if isinstance(each, Record)}
    findings = [_damage(each, store, repair) for each in found if isinstance(each, Damage)]
    findings += check_asides(folder, ABOUT, repair)
    findings += _locks(store, repair)
    findings += _unfinished(store, whole)
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


def _unfinished(store: Store, recorded: set[str]) -> list[Finding]:
    findings = []
    for folder in sorted((store.folder / "unfinished").glob("*/")):
        steps = [int(path.name.rsplit("-", 1)[1]) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
        then = f"asked again, it goes on from step {max(steps)}" if steps else "asked again, it begins anew"
        if folder.name in recorded:
            then = "it has a record, too"
        findings.append(Finding(ABOUT, "note", f"The run {folder.name} is unfinished; {then}."))
    return findings
