"""The generalisation gap itself, test loss - train loss, against chain length."""

import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.figure import Figure
from colarepro.figures.generalization import describe, panels_of, table


def draw(frame: pd.DataFrame) -> Canvas:
    return panels_of(frame, "generalization_gap")


def caption(frame: pd.DataFrame) -> str:
    return f"Test loss minus train loss of the same runs. {describe(frame)}"


TRAIN_TEST_GAP = Figure("train-test-gap", "Generalisation gap against chain length", "theory", table, draw, caption)
