"""Wall clocks that are wrong, and jump when a test says so. Monotonic clocks stay right, as the kernel's do."""

from pathlib import Path

LIBRARY = next(iter(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketime.so.1")), None)
HOUR = 3600


class Clock:
    """An offset from the machine's clock, read by the processes that were started with :attr:`environment`."""

    def __init__(self, file: Path, offset_seconds: int = 0) -> None:
        if LIBRARY is None:
            raise AssertionError("no libfaketime on this machine: apt-get install faketime")
        self._file = file
        self.jump_to(offset_seconds)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def jump_to(self, offset_seconds: int) -> None:
        """From now on it is wrong by so much."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_seconds:+d}\n")
        new.replace(self._file)
