"""``initkit`` and ``python -m initkit_cli``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from initkit.errors import RankError
from initkit_cli.channel import Channel
from initkit_cli.failures import BUG, DONE, INTERRUPTED, failure_of
from initkit_cli.torchrun import is_first


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        args: the words after the command's name; None takes those of the process.

    Returns:
        0 done, 1 the work failed with a clear message, 2 wrong usage, 130 interrupted.
    """
    words = list(sys.argv[1:] if args is None else args)
    channel = Channel(words, quiet=not is_first())
    try:
        code = _run(words, channel)
        sys.stdout.flush()
    except BrokenPipeError:
        channel.silence()
        return DONE
    except KeyboardInterrupt:
        channel.tell(INTERRUPTED)
        return INTERRUPTED.code
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            # A bug of ours or of a plugin: it must show whole.
            channel.tell(BUG)
            raise
        if isinstance(error, RankError) and not error.told:
            channel.quiet = False  # the process that talks may be the one that is missing
        channel.tell(failure)
        return failure.code
    return code


def _run(words: list[str], channel: Channel) -> int:
    from initkit_cli.app import command

    code = command().main(words, prog_name="initkit", standalone_mode=False, obj=channel)
    if code == INTERRUPTED.code:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else DONE


if __name__ == "__main__":
    sys.exit(main())
