"""The cache of models: is what lies there what was put there?"""

from colarepro.errors import ColaError
from colarepro.health.asides import check_asides
from colarepro.health.finding import Finding
from colarepro.models import load, smollm2, tiny
from colarepro.models.cache import changed_files, missing_files, models_folder

ABOUT = "cache"


def check_cache(repair: bool = False) -> list[Finding]:
    """Digests of every file that the package has put there, and whether they are a whole model; nothing is fetched.

    The files of either model are held to the digests written when they were made, the weights of smollm2-135m to the
    ones that our records name, too.
    """
    findings = []
    for name, place in (("smollm2-135m", smollm2.place()), ("tiny", tiny.place())):
        if not place.exists():
            findings.append(
                Finding(ABOUT, "note", f"{name} is not there; `colarepro models fetch {name}` puts it there.")
            )
            continue
        changed = changed_files(place)
        anew = f"delete {place}, and it is made anew"
        if changed:
            findings.append(Finding(ABOUT, "wrong", f"{name}: {', '.join(changed)} changed since it was made; {anew}."))
        elif lacking := missing_files(place):
            findings.append(Finding(ABOUT, "wrong", f"{name} is there without {', '.join(lacking)}; {anew}."))
        elif name == "smollm2-135m" and (wrong := _wrong_weights()):
            findings.append(Finding(ABOUT, "wrong", f"{name}: {wrong}; {anew}."))
        elif changed is None:
            said = "was made before digests were written" + (", but its weights are right" if name != "tiny" else "")
            findings.append(Finding(ABOUT, "note", f"{name} {said}; to have it checked, {anew}."))
        else:
            findings.append(Finding(ABOUT, "fine", f"{name} is as it was made."))
    return findings + check_asides(models_folder(), ABOUT, repair)


def _wrong_weights() -> str:
    """What is wrong with the weights of smollm2-135m, if anything."""
    try:
        found = load("smollm2-135m").digest
    except ColaError as error:
        return str(error).rstrip(".")
    return "" if found == smollm2.WEIGHTS else f"its weights have the digest {found}, expected was {smollm2.WEIGHTS}"
