from itertools import pairwise

import pytest

from colarepro.chain import Plan, Schedule
from colarepro.errors import ColaError


def test_equal_parts_differ_by_at_most_one_step() -> None:
    for total in (7, 10, 625):
        for length in (1, 2, 3, 6):
            plan = Schedule(length=length).resolve(total)
            edges = (0, *plan.knots, total)
            lengths = [later - earlier for earlier, later in pairwise(edges)]
            assert len(lengths) == length
            assert sum(lengths) == total
            assert max(lengths) - min(lengths) <= 1


def test_epochs_become_steps() -> None:
    # The paper's rank step-down: five epochs of 125 steps, knot after the third.
    plan = Schedule(knot_epochs=(3,), ranks=(8, 2)).resolve(625, steps_per_epoch=125)
    assert plan == Plan(625, (375,), (8, 2))


def test_the_default_is_the_papers_one_stated_knot() -> None:
    assert Schedule().resolve(625) == Schedule(knot_epochs=(3,)).resolve(625, steps_per_epoch=125)
    assert Schedule().links == 2


def test_link_changes_after_the_knot_step() -> None:
    plan = Schedule(knot_steps=(3, 5)).resolve(8)
    assert [plan.link_at(step) for step in range(8)] == [0, 0, 0, 1, 1, 2, 2, 2]


def test_restart_runs_each_link_through_the_whole_schedule() -> None:
    plan = Schedule(knot_steps=(2,)).resolve(10)
    assert [plan.squeezed(step) for step in (0, 1, 2, 6, 10)] == [0, 5, 0, 5, 10]


@pytest.mark.parametrize(
    ("schedule", "total", "message"),
    [
        ({"length": 5}, 4, "5 links needs as many steps"),
        ({"knot_steps": (4,)}, 4, "inside the run, from 1 to 3"),  # a last link of no steps
        ({"knot_steps": (0,)}, 4, "inside the run"),
        ({"knot_steps": (9,)}, 4, "step 9"),
        ({"knot_steps": (3, 2)}, 4, "to increase"),
        ({"knot_epochs": (0.3, 0.4)}, 10, "to increase"),  # both round to one step
        ({"knot_epochs": (5,)}, 10, "inside the run"),
    ],
)
def test_knots_outside_the_run_are_refused(schedule: dict, total: int, message: str) -> None:
    with pytest.raises(ColaError, match=message):
        Schedule(**schedule).resolve(total, steps_per_epoch=5)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"length": 2, "knot_steps": (1,)}, "takes one of length, knot_steps and knot_epochs, but 2"),
        ({"length": 0}, "chain length is 0"),
        ({"initialization": "anew"}, "initialization is 'anew'; expected one of fresh, same"),
        ({"learning_rate": "reset"}, "learning_rate is 'reset'; expected one of continue, restart, rewarm"),
        ({"fold": "add"}, "fold is 'add'"),
        ({"reset": "zero"}, "reset is 'zero'"),
        ({"length": 2, "ranks": (8,)}, "1 ranks were given for 2 links"),
        ({"length": 2, "ranks": (8, 0)}, "1 or more"),
        ({"length": 2, "ranks": (8, 4), "fold": "none"}, "the first link goes on"),
        ({"length": 2, "initialization": "same", "fold": "none"}, "the first link goes on"),
        ({"length": 2, "ranks": (4, 2), "reset": "prune"}, "keeps moments of the link's shape"),
        ({"length": 2, "reset": "prune", "prune": 1.5}, "a share from 0 to 1"),
        ({"length": 2, "learning_rate": "rewarm", "warmup": -1}, "at least 0 steps"),
        ({"length": 2, "warmup": 5}, "needs learning_rate='rewarm'"),
    ],
)
def test_contradictory_schedules_are_refused(schedule: dict, message: str) -> None:
    with pytest.raises(ColaError, match=message):
        Schedule(**schedule)


def test_epoch_knots_need_the_epoch_length() -> None:
    with pytest.raises(ColaError, match="unknown"):
        Schedule(knot_epochs=(1,)).resolve(10)


def test_a_run_too_short_for_a_knot() -> None:
    for schedule in (Schedule(), Schedule(knot_steps=(1,)), Schedule(length=2)):
        with pytest.raises(ColaError, match="a step before it and one after it, but the run has 1 in all"):
            schedule.resolve(1)
    assert Schedule(length=1).resolve(1).knots == ()
