"""`kspec fix`: patches for what a scan found; applied to a live cluster only when asked to, and shown first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import agreed, nobody_to_ask, note, say, say_text, say_yaml, style
from pytest_kspec.errors import EXIT_NOT_EVALUATED, KspecError, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.fixes.collect import Fixes, ObjectFix
    from pytest_kspec.kube.reference import ResourceRef
    from pytest_kspec.kube.resources import Resource
    from pytest_kspec.results.result import ScanResult

DESCRIPTION = """\
Write patches that remove findings. There is one patch for each object; it contains all fixes and applies to
the manifest or to the owner (the Deployment, not its pods). Without -o, the patches are printed as one YAML
stream. With -o, they are written to a folder that is a kustomize component ('components: [DIR]'); each file
can also be used with 'kubectl patch --patch-file'. Findings that need a decision (images, hostPath volumes,
…) get no patch.

Nothing is applied without --apply. With --apply, every patch is first tried as a server-side dry run, then
the changes are shown and you are asked to confirm.

Exit codes: 0 all patches were written or applied; 2 something could not be evaluated or was rejected;
4 usage error."""

EXAMPLES = """
kspec fix prod.yaml --cluster manifests/ -o fixes/
kspec fix --from result.json > patches.yaml
kspec fix prod.yaml --only 'podSecurity.*' --format json -o fixes/
kspec fix prod.yaml --cluster prod-eu --only 'podSecurity.*' --apply
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    arguments.add_specs(parser)
    parser.add_argument(
        "--from", dest="result", metavar="RESULT", help="JSON report to use instead of a scan"
    )
    parser.add_argument(
        "--cluster",
        metavar="REF",
        help="kubeconfig context, snapshot or manifests (default: as for 'kspec scan'; with --from: the "
        "cluster of the result)",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="only fixes of these checks; may be repeated",
    )
    parser.add_argument(
        "--format",
        choices=("strategic", "json"),
        default="strategic",
        help="strategic merge patches (default) or JSON patches; JSON patches need -o and the objects",
    )
    arguments.add_allow_empty(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--apply", action="store_true", help="apply the patches to the live cluster, after a dry run"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="with --apply: do not ask for confirmation")


def run(args: argparse.Namespace) -> int:
    """Scan or read, collect, then write or apply."""
    from pytest_kspec.fixes.collect import collect

    _check(args)
    result = _result(args)
    _check_only(args.only, result)
    fixes = collect(result, _wanted(args.only))
    problems = arguments.empty_problems(result, args)
    for line in problems:
        note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {line}")
    incomplete = result.summary.errors > 0 or bool(problems)
    code = _apply(fixes, result, args) if args.apply else _write(fixes, result, args)
    _summary(fixes, incomplete)
    return code or (EXIT_NOT_EVALUATED if incomplete else 0)


def _check(args: argparse.Namespace) -> None:
    if args.result and (args.specs or args.spec):
        raise UsageError(
            "a result and a specification cannot be combined.", where="--from", fix="Give one of them."
        )
    scanning = {"--cluster": args.cluster, "--checks": args.checks, "--exemptions": args.exemptions}
    if args.result and (unused := [option for option, value in scanning.items() if value]):
        raise UsageError(
            "it has no effect on a result that is read.",
            where=unused[0],
            fix=f"Leave out --from or {unused[0]}.",
        )
    if args.format == "json" and not args.output:
        raise UsageError(
            "JSON patches cannot be printed as one stream.", where="--format json", fix="Give -o DIR."
        )
    if args.apply and (args.output or args.format == "json"):
        raise UsageError("--apply does not write files.", where="--apply", fix="Leave out -o and --format.")
    if args.yes and not args.apply:
        raise UsageError("--yes has no effect without --apply.", where="--yes", fix="Add --apply.")
    if args.apply and not args.yes and (error := nobody_to_ask("--apply")) is not None:
        raise error


def _check_only(patterns: list[str], result: ScanResult) -> None:
    """A pattern that is of no requirement is a mistake: nothing would be fixed, and nobody told."""
    for pattern in patterns:
        wanted = _wanted([pattern])
        if not any(wanted(check.id) for cluster in result.clusters for check in cluster.checks):
            raise UsageError(
                f"no requirement of this result is called '{pattern}'.",
                where="--only",
                fix="See the ids in the output of 'kspec scan'.",
            )


def _wanted(patterns: list[str]) -> Any:
    from pytest_kspec.kube.globs import Globs, matches_check

    globs = Globs(patterns)
    return lambda check_id: matches_check(globs, check_id)


def _result(args: argparse.Namespace) -> ScanResult:
    if args.result:
        from pytest_kspec.reports import json

        return json.read(args.result)
    from pytest_kspec.cli.scan_run import scan_result

    return scan_result(
        arguments.read_specs(args),
        clusters=[args.cluster] if args.cluster else [],
        checks=args.checks,
        exemptions=args.exemptions,
        kubeconfig=args.kubeconfig,
    )


def _write(fixes: Fixes, result: ScanResult, args: argparse.Namespace) -> int:
    from pytest_kspec.fixes.render import render_stream

    if not args.output:
        if fixes.objects:
            say_yaml(render_stream(fixes.objects))
        return 0
    from pathlib import Path

    from pytest_kspec.errors import ReportError
    from pytest_kspec.files import write_whole
    from pytest_kspec.fixes.render import folder_names, render_files

    names = sorted({fix.cluster for fix in fixes.objects})
    code = 0
    # Clusters are components of their own: one manifest may be in several.
    folders = folder_names(names) if len(names) > 1 else dict.fromkeys(names, "")
    for name in names:
        folder = Path(args.output, folders[name])
        mine = [fix for fix in fixes.objects if fix.cluster == name]
        operations: list[list[dict[str, Any]] | None] = []
        if args.format == "json":
            mine, operations, refused = _operations(mine, _source_ref(result, name, args), args)
            code = code or refused
        for file, content in sorted(render_files(mine, operations).items()):
            try:
                write_whole(folder / file, content)
            except OSError as error:
                raise ReportError(
                    f"could not be written: {error.strerror or error}.", where=str(folder / file)
                ) from error
        say(f"{folder}: {len(mine)} patches and new objects for {name}")
    return code


def _operations(
    fixes: list[ObjectFix], ref: str, args: argparse.Namespace
) -> tuple[list[ObjectFix], list[list[dict[str, Any]] | None], int]:
    """Each patch as operations on the object as it is in its source; those whose object is gone are told."""
    from contextlib import closing

    from pytest_kspec.cluster.inventory.inventory import Inventory
    from pytest_kspec.cluster.sources.open import open_source
    from pytest_kspec.fixes.jsonpatch import json_patch
    from pytest_kspec.rules.repair.strategic import Unsayable

    kept: list[ObjectFix] = []
    operations: list[list[dict[str, Any]] | None] = []
    code = 0
    with closing(open_source(ref, kubeconfig=args.kubeconfig)) as source:
        inventory = Inventory(source)
        objects: dict[tuple[str, str], dict[ResourceRef, Resource]] = {}
        for fix in fixes:
            steps = None
            if not fix.new:
                group = fix.resource.api_version.rpartition("/")[0]
                kind = (fix.resource.kind, group)
                if kind not in objects:
                    objects[kind] = {one.ref: one for one in inventory.list(*kind)}
                found = objects[kind].get(fix.resource)
                try:
                    steps = json_patch(found.raw, fix.patch) if found is not None else None
                except Unsayable:
                    steps = None
                if steps is None:
                    note(
                        f"{style('no patch:', 'yellow', stream=sys.stderr)} {fix.resource} was deleted or changed"
                    )
                    code = EXIT_NOT_EVALUATED
                    continue
            kept.append(fix)
            operations.append(steps)
    return kept, operations, code


def _source_ref(result: ScanResult, cluster: str, args: argparse.Namespace) -> str:
    """What to open for a cluster of the result. Raises UsageError where nothing is known."""
    ref = args.cluster or next(
        (c.evidence.source_ref for c in result.clusters if c.name == cluster and c.evidence.source_ref), ""
    )
    if not ref:
        raise UsageError(
            f"the result does not contain the source of '{cluster}'.", fix="Name it with --cluster."
        )
    return str(ref)


def _apply(fixes: Fixes, result: ScanResult, args: argparse.Namespace) -> int:
    from contextlib import closing

    from pytest_kspec.cluster.sources.live import LiveSource
    from pytest_kspec.cluster.sources.open import open_source
    from pytest_kspec.cluster.writing.write import Writer
    from pytest_kspec.fixes.applying import attempt, carry_out

    code = 0
    for name in sorted({fix.cluster for fix in fixes.objects}):
        with closing(open_source(_source_ref(result, name, args), kubeconfig=args.kubeconfig)) as source:
            if not isinstance(source, LiveSource):
                raise UsageError(
                    f"'{name}' is not a live cluster.", where="--apply", fix="Write patches with -o DIR."
                )
            writer = Writer(source)
            tried = [attempt(writer, fix) for fix in fixes.objects if fix.cluster == name]
            for one in tried:
                say_text(one.text)
                code = code or (EXIT_NOT_EVALUATED if one.problem else 0)
            good = [one for one in tried if not one.problem]
            if not good or not (args.yes or agreed(f"Apply {len(good)} of these to {name}?")):
                continue
            for one in good:
                try:
                    carry_out(writer, one)
                except KspecError as error:
                    note(f"{style('not applied:', 'red', stream=sys.stderr)} {error}")
                    code = EXIT_NOT_EVALUATED
                else:
                    say(f"applied: {one.fix.resource}")
    return code


def _summary(fixes: Fixes, incomplete: bool) -> None:
    from pytest_kspec.reports.shared.text import plural

    note(
        f"{plural(fixes.fixed, 'finding')} {'has' if fixes.fixed == 1 else 'have'} a fix, in "
        f"{plural(len(fixes.objects), 'object')}; "
        f"{fixes.personal} {'needs' if fixes.personal == 1 else 'need'} a manual decision."
    )
    label = style("conflict:", "yellow", stream=sys.stderr)
    for fix in fixes.objects:
        for path in fix.conflicts:
            note(f"{label} {fix.resource}: {path}: the fix of the more severe finding is used")
    if incomplete:
        note("Some requirements could not be evaluated, so fixes may be missing.")
