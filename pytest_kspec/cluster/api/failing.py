"""What is wrong with a request that has no answer, in the words that a user reads."""

from __future__ import annotations

import re
import ssl

from urllib3.exceptions import HTTPError, MaxRetryError, ProxyError, SSLError

_LONGEST = 256
_REFUSED = re.compile(r"Tunnel connection failed: 4(?!29|08)\d\d")
_USER = re.compile(r"//[^/\s@]*@")


def reason_of(error: Exception) -> Exception:
    """What made a library of HTTP give up."""
    return error.reason if isinstance(error, MaxRetryError) and error.reason else error


def is_certain(error: Exception) -> bool:
    """Whether another try would end in the same way: a certificate that is not valid, a proxy that refuses."""
    reason = reason_of(error)
    if isinstance(reason, SSLError):
        return any(isinstance(one, ssl.SSLCertVerificationError) for one in reason.args)
    return isinstance(reason, ProxyError) and bool(_REFUSED.search(str(reason.original_error)))


def said_of(error: Exception) -> str:
    """`(ReadTimeoutError): Read timed out`: the name of the error, and its text, which is no credential."""
    reason = reason_of(error)
    # A ValueError's text may hold the header that is wrong, and so the token; a URL the proxy's password.
    known = isinstance(reason, HTTPError | OSError)
    # Some have the connection as well, whose address in memory is another one each time.
    last = reason.args[-1] if len(reason.args) > 1 else None
    said = last if isinstance(last, str) else str(reason)
    if isinstance(last, Exception):  # the text would be that of a tuple
        said = f"{str(reason.args[0]).rstrip('.')}: {last}"
    text = _USER.sub("//", " ".join(said.split())) if known else "the request could not be made"
    # urllib3 begins its texts with the object they come from, whose repr says nothing to a user.
    text = (text.partition(">: ")[2] or text.rpartition("): ")[2] or text).rstrip(")\"'.")
    text += ")" * (text.count("(") - text.count(")"))
    return f"({type(reason).__name__}): {text[:_LONGEST]}"
