"""Import-linter contract: an app is imported only through its ``api`` module."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FacadeContract(Contract):
    """Every module of an app but its facade is closed to other apps and to the entry points."""

    container = fields.StringField()
    facade = fields.StringField()
    open_packages = fields.SetField(subfield=fields.StringField(), required=False, default=set())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 (the linter's signature)
        """List the imports that go around a facade."""
        leaks = [
            (importer, inside)
            for app in sorted(graph.find_children(str(self.container)) - self.open_packages)
            for inside in sorted({app} | graph.find_descendants(app))
            if inside not in (app, f"{app}.{self.facade}")
            for importer in sorted(graph.find_modules_that_directly_import(inside))
            if importer != app and not importer.startswith(f"{app}.")
        ]
        return ContractCheck(kept=not leaks, metadata={"leaks": leaks})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Say what to do instead."""
        for importer, inside in check.metadata["leaks"]:
            output.print_error(f"{importer} reaches into {inside}; import the app's api module instead.", bold=False)
