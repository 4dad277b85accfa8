"""The entry point and the single error boundary: every failure leaves as code, message, hint and exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ragops.adapters import interrupts
from ragops.adapters.installation import require_own_package
from ragops.cli.console import Console
from ragops.cli.global_options import hoist
from ragops.cli.printable import printable
from ragops.errors import ExitCode, InterruptedRunError, MissingError, RagopsError, UsageError
from ragops.hints import set_options_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    code: int = ExitCode.INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt):  # one that comes when the command has ended
        code = run(sys.argv[1:])
    interrupts.ignore()
    # An interrupt inside `exec` of a text, as dataclasses do it, has Python end by that signal though it was handled;
    # evaluating any text takes that back (CPython, run_eval_code_obj in pythonrun.c).
    eval("None")  # noqa: S307
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    interrupts.install()  # a service manager's stop and a lost connection count as much as Ctrl-C does
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal that has no arrow
    ordered = hoist(arguments)
    set_options_of(ordered)
    console = Console(as_json="--json" in ordered, verbose="--verbose" in ordered, color="--no-color" not in ordered)
    try:
        return _attempt(ordered, console)
    except (OSError, SystemExit) as failure:  # Typer makes a SystemExit of a broken pipe
        cause = failure if isinstance(failure, OSError) else failure.__context__
        if not isinstance(cause, OSError):
            raise
        return _without_output(cause, console)


def _attempt(arguments: list[str], console: Console) -> int:
    """Run the command and show its failure. Raises OSError, SystemExit where stdout does not take what is written."""
    try:
        return _call(arguments)
    except KeyboardInterrupt as interrupt:
        cause: BaseException = interrupt
        error: RagopsError = InterruptedRunError("interrupted", "interrupted", "run the same command again to continue")
    except RagopsError as failure:
        cause = error = failure
    except Exception as failure:
        if isinstance(failure, OSError) and _was_output(failure):
            raise
        if type(failure).__name__ == "NoArgsIsHelpError" and not console.as_json:
            console.text(failure.format_message())  # type: ignore[attr-defined]  # Click's: the help
            return ExitCode.USAGE
        cause, error = failure, _unexpected(failure, arguments)
    if console.verbose:
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(cause))))
    console.error(error)
    return error.exit_code


def _was_output(failure: OSError) -> bool:
    """Whether it was printing that failed; only its place distinguishes it from a failure on a file."""
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = str(place.tb_frame.f_globals.get("__name__")) if place else ""
    return module == Console.__module__ or module.split(".")[0] in ("click", "typer", "rich")


def _without_output(failure: OSError, console: Console) -> int:
    """Return the exit code if the output cannot be written; a reader that has gone is no fault."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more when it ends
    if isinstance(failure, BrokenPipeError):
        return 128 + signal.SIGPIPE
    why = failure.strerror or str(failure)
    error = MissingError("output_failed", f"the output cannot be written: {why}", "free some space where it goes")
    console.complain(error)
    return error.exit_code


def _call(arguments: list[str]) -> int:
    require_own_package()
    from ragops.cli.app import app

    result: Any = app.tree(arguments, standalone_mode=False, prog_name="ragops")
    if result == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt  # Typer made an exit code of it without a word
    return result if isinstance(result, int) else ExitCode.DONE


def _unexpected(failure: Exception, arguments: Sequence[str]) -> RagopsError:
    """Typer's own usage errors as ours; anything else is a fault of ragops and is reported as one."""
    if hasattr(failure, "format_message"):
        context = getattr(failure, "ctx", None)
        command = context.command_path if context else "ragops"
        what = (
            failure.format_message().replace("Value error, ", "").replace("Input should be", "it has to be")
        )  # pydantic
        return UsageError("usage", what, f"see `{command} --help`")
    if type(failure).__name__ == "Abort" or interrupts.is_caused_by_interrupt(failure):
        return InterruptedRunError("interrupted", "interrupted")
    if isinstance(failure, PermissionError):
        from ragops.adapters.files import explain_os_error

        return explain_os_error(failure, f"use {failure.filename or 'a file'}")
    if isinstance(failure, UnicodeEncodeError) and (odd := next(filter(_is_odd, arguments), None)) is not None:
        shown = odd.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        hint = "write it in UTF-8; a file or folder with such a name has to be renamed"
        return UsageError("argument_not_utf8", f"cannot use the argument {shown}: it is not UTF-8", hint)
    what = f"{type(failure).__name__}: {failure}"
    return RagopsError("internal_error", f"this is a fault in ragops: {what}", "run with --verbose and report it")


def _is_odd(argument: str) -> bool:
    """Return whether it holds bytes that are not UTF-8."""
    return any("\ud800" <= letter <= "\udfff" for letter in argument)
