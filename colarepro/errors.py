"""The one exception that reaches a user, and the door through which it does."""

import sys
from collections.abc import Callable


class ColaError(ValueError):
    """Wrong input, said in one sentence: which thing, and what was expected."""


def exit_cleanly(main: Callable[[], None]) -> None:
    """Run a command; a `ColaError` becomes one line on standard error and exit code 2."""
    try:
        main()
    except ColaError as error:
        print(f"colarepro: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("colarepro: interrupted; what was already written stays.", file=sys.stderr)
        raise SystemExit(130) from None
