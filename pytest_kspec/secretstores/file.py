"""Files, which the user at the command line may name: what a CSI driver, Vault's agent or an init container wrote."""

from __future__ import annotations

import os
import stat

from pytest_kspec.errors import Malformed, NotFound, SourceUnavailable
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed

_LONGEST = 4 << 20


class Files:
    """As `stores.Store`."""

    def read(self, reference: Reference) -> Sealed:
        """The whole file; a device or a pipe, which may never end, is refused."""
        where = str(reference)
        if reference.key:
            raise Malformed("a file has no keys.", where=where, fix="Remove what follows '#'.")
        try:
            descriptor = os.open(reference.name, os.O_RDONLY | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise Malformed("this is not a regular file.", where=where)
                content = file.read(_LONGEST + 1)
        except FileNotFoundError:
            raise NotFound("the file does not exist.", where=where) from None
        except OSError as error:
            raise SourceUnavailable(f"the file could not be read: {error.strerror}.", where=where) from error
        return Sealed(content, where=where)


def open_store() -> Files:
    """The store."""
    return Files()
