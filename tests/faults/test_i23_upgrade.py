"""RELIABILITY.md I23: holds outlive an upgrade: two libraries side by side, gateways rolled one by one under load."""

import signal
from pathlib import Path

from tests.faults.site.backends import on_leases
from tests.faults.site.checks import check
from tests.faults.site.load import Load
from tests.faults.site.release import next_release
from tests.faults.site.site import Site
from tests.faults.test_i01_never_oversold import some_poor_payers


@on_leases
def test_holds_outlive_a_rolling_upgrade(site: Site, tmp_path: Path) -> None:
    release = next_release(tmp_path / "release")

    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well()
        for program in (site.gateways[0], site.workers[0], site.gateways[1]):
            program.stop(signal.SIGTERM)
            program.directory = release
            program.start()
            load.runs_well()
        load.runs_out()

    assert len(libraries(site)) == 2
    check(site, load.calls)


def libraries(site: Site) -> set[str]:
    """The names of the libraries that the quota store has."""
    return {library["library_name"] for library in site.quota.ask("FUNCTION", "LIST")}
