"""A cluster whose objects describe other clusters, and what is needed to open these."""

from __future__ import annotations

from pytest_kspec.cluster.sources.open import default_ref
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.fleet.targets.providers import Providers, providers_by_environment
from pytest_kspec.secretstores.stores import Secrets


class Hub:
    """access: to the hub. secrets, providers: None: as the environment says.

    ref: what names it at the command line; "": where it is the default of the environment
    """

    def __init__(
        self,
        access: Access,
        ref: str = "",
        secrets: Secrets | None = None,
        providers: Providers | None = None,
    ) -> None:
        self.access = access
        self.ref = ref
        self.secrets = secrets if secrets is not None else Secrets(access)
        self.providers = providers if providers is not None else providers_by_environment()


def open_hub(ref: str = "", kubeconfig: str | None = None) -> Hub:
    """ref: a context or in-cluster; "": that of KSPEC_HUB, else the current context, else in-cluster.

    Raises UsageError. Nothing is connected to.
    """
    import os

    chosen = ref or os.environ.get(VARIABLE, "") or default_ref(kubeconfig)
    return Hub(Access(chosen, kubeconfig), ref)


VARIABLE = "KSPEC_HUB"
