"""Who ran a scan: what the user says, else the address of the CI job, else `user@host`.

It ends up in every report, so nothing is guessed beyond that, and an empty KSPEC_RUN_BY (or `--kspec-run-by ""`)
keeps it out.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Mapping

from pytest_kspec.regexes import regex

VARIABLE = "KSPEC_RUN_BY"
LONGEST = 500
_JOBS = (
    "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    "{CI_JOB_URL}",  # GitLab
    "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",  # Azure
    "{CIRCLE_BUILD_URL}",
    "{BUILDKITE_BUILD_URL}",
    "{DRONE_BUILD_LINK}",
    "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    "{TRAVIS_BUILD_WEB_URL}",
    "{BUILD_URL}",  # Jenkins
)
_CREDENTIALS = regex(r"(?<=://)[^/\s]*@")


def run_by(given: str | None, environ: Mapping[str, str]) -> str:
    """One line of text; "" where the user wants it so, or nothing is known. given: the option, None if absent."""
    if given is None:
        given = environ.get(VARIABLE)
    if given is not None:
        return _line(given)
    for template in _JOBS:
        names = re.findall(r"{(\w+)}", template)
        if all(environ.get(name) for name in names):
            return _line(template.format_map({name: environ[name] for name in names}))
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = ""
    host = socket.gethostname()
    return _line(f"{user}@{host}" if user and host else user or host)


def _line(text: str) -> str:
    # An address may carry the credentials of a clone: they are nobody's business.
    return _CREDENTIALS.sub("", " ".join(text.split()))[:LONGEST]
