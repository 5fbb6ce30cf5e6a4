"""The real program on fakes, for tests that need a terminal. Says on stderr when the source was closed."""

from __future__ import annotations

import signal
import sys

from fakes import BusyNode, FakeSource, FakeTimeline

from ebtop.errors import EbtopError
from ebtop.store.source import UnloadProof
from ebtop.ui.app import run


class Source(FakeSource):
    def close(self) -> tuple[UnloadProof, ...]:
        with open(f"{sys.argv[1]}.closed", "w"):
            return super().close()


if __name__ == "__main__":
    # Whoever runs the tests in the background may ignore it, which is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "--ignore-hangup" in sys.argv:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    source = Source()
    try:
        code = run(source, FakeTimeline(BusyNode().snapshot))
    except EbtopError as error:
        print(error.line(), file=sys.stderr)
        code = 1
    finally:
        with open(sys.argv[1], "w") as out:
            out.write(f"started={source.sink is not None} closed={source.closed}")
    sys.exit(code)
