"""How many cases are generated; `tests/README.md` says how to ask for more."""

from hypothesis import HealthCheck, settings

PROPERTIES = 11
"""Tests of this folder that generate cases; one of them holds this number to be right."""

# A loaded machine is slow and a fixture of a folder is shared by all cases of a test, as it should be; what hangs is
# ended by the cases' own alarm.
COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
settings.register_profile("ci", COMMON, max_examples=-(-1_000 // PROPERTIES), derandomize=True)
settings.register_profile("nightly", COMMON, max_examples=-(-12_000 // PROPERTIES), print_blob=True)
settings.load_profile("ci")  # pytest's own --hypothesis-profile comes later, and wins
