"""Certificates of the own authority over years: what is served is always trusted by who read the bundle lately."""

import datetime as dt
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from pytest_kspec.serving.authority import CertificateError, Periods, advance, expiry, verify
from pytest_kspec.serving.tls import ServerTls
from pytest_kspec.webhook.certificates import Folder, SelfSigned

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOSTS = ("kspec-webhook.kspec-system.svc", "127.0.0.1")


def verifies(certificate: Any, bundle: Any, moment: Any) -> None:
    store = Store(x509.load_pem_x509_certificates(bundle))
    verifier = PolicyBuilder().store(store).time(moment.replace(tzinfo=None))
    built = verifier.build_server_verifier(x509.DNSName(HOSTS[0]))
    built.verify(x509.load_pem_x509_certificate(certificate), [])


def test_it_starts_with_one_authority_and_changes_nothing_without_need() -> None:
    made = advance(None, HOSTS, START)
    assert advance(made, HOSTS, START + dt.timedelta(days=59)) is made
    assert made.bundle.count(b"BEGIN") == 1
    assert expiry(made.certificate) == START + dt.timedelta(days=90)
    verifies(made.certificate, made.bundle, START)


def test_the_certificate_is_renewed_thirty_days_before_its_end() -> None:
    made = advance(None, HOSTS, START)
    renewed = advance(made, HOSTS, START + dt.timedelta(days=61))
    assert renewed.certificate != made.certificate
    assert renewed.bundle == made.bundle
    assert expiry(renewed.certificate) == START + dt.timedelta(days=151)


def test_two_authorities_overlap_at_every_moment_of_three_years() -> None:
    """A client that reads the bundle an hour late, or an hour early, trusts what is served."""
    step = dt.timedelta(minutes=20)
    overlap = Periods().overlap
    history = []
    material, moment = None, START
    bundles = set()
    while moment < START + dt.timedelta(days=3 * 365):
        material = advance(material, HOSTS, moment)
        bundles.add(material.bundle.count(b"BEGIN"))
        history.append((moment, material))
        history = [item for item in history if item[0] > moment - overlap]
        if history[0][1] is not material:
            for _, before in history:
                verifies(material.certificate, before.bundle, moment)  # an old bundle, the new certificate
                verifies(before.certificate, material.bundle, moment)  # the new bundle, an old certificate
        quiet = history[0][1] is material
        moment += dt.timedelta(hours=12) if quiet and material.bundle.count(b"BEGIN") == 1 else step
    assert bundles == {1, 2}


def test_an_authority_that_nothing_is_signed_by_any_more_goes() -> None:
    made = advance(None, HOSTS, START)
    for days in range(10, 245, 10):
        made = advance(made, HOSTS, START + dt.timedelta(days=days))
    moment = START + dt.timedelta(days=250)
    both = advance(made, HOSTS, moment)
    assert both.bundle.count(b"BEGIN") == 2
    assert both.bundle.endswith(made.bundle)
    later = advance(both, HOSTS, moment + dt.timedelta(hours=1))
    assert later.certificate != both.certificate
    assert later.bundle.count(b"BEGIN") == 2
    last = advance(later, HOSTS, moment + dt.timedelta(hours=2))
    assert last.bundle.count(b"BEGIN") == 1


def test_other_hosts_get_another_certificate_of_the_same_authority() -> None:
    made = advance(None, HOSTS, START)
    other = advance(made, ("other.svc",), START)
    assert other.bundle == made.bundle
    names = x509.load_pem_x509_certificate(other.certificate).extensions
    assert names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == ["other.svc"]


def test_what_cannot_be_read_is_said_without_what_it_holds() -> None:
    with pytest.raises(CertificateError, match="not a PEM certificate"):
        expiry(b"secret")


def test_what_is_stored_is_of_one_piece() -> None:
    made, other = advance(None, HOSTS, START), advance(None, HOSTS, START)
    verify(made)
    later = advance(
        made, HOSTS, START + dt.timedelta(days=250)
    )  # a second authority, and a certificate of the first
    assert later.bundle.count(b"BEGIN") == 2
    verify(later)
    verify(replace(made, certificate=b"", key=b""))
    for wrong, said in (
        (replace(made, bundle=other.bundle), "the key of the authority does not match its certificate."),
        (
            replace(made, authority_key=other.authority_key),
            "the key of the authority does not match its certificate.",
        ),
        (
            replace(made, bundle=made.bundle + made.certificate),
            "its bundle contains a certificate that is not of an authority.",
        ),
        (replace(made, certificate=other.certificate, key=other.key), "no authority of its bundle signed"),
        (replace(made, key=other.key), "the key does not match the certificate that is served."),
        (replace(made, bundle=b"x"), "this is not a PEM certificate."),
        (replace(made, authority_key=b"x"), "this is not a PEM private key."),
    ):
        with pytest.raises(CertificateError, match=re.escape(said)):
            verify(wrong)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Any, Any, Any]:
    """A folder, its state, and a tick of a webhook that keeps its certificate there."""
    published: list[Any] = []
    folder = tmp_path / "tls"
    keeper = SelfSigned(Folder(folder), HOSTS, published.append, now=lambda: START)
    return folder / "authority.json", lambda: keeper.tick(ServerTls()), published


def test_a_state_that_is_not_our_own_is_neither_served_nor_published(
    kept: tuple[Any, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, tick, published = kept
    tick()
    good = state.read_text()
    published.clear()
    forged = json.loads(good)
    other = advance(None, HOSTS, START)
    forged |= {"ca.crt": other.bundle.decode()}
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(good)

    def becomes(text: Any = good, mode: int = 0o600) -> None:
        state.unlink()
        state.write_text(text)
        state.chmod(mode)

    def linked() -> None:
        state.unlink()
        state.symlink_to(elsewhere)

    def refused(said: Any) -> None:
        with pytest.raises((CertificateError, OSError), match=said):
            tick()
        assert published == []

    becomes(json.dumps(forged))
    refused(
        r"authority\.json: the key of the authority does not match its certificate\. "
        "Find out who wrote it, and remove it"
    )
    becomes(mode=0o666)
    refused("other users may write to it")
    becomes("[1]")
    refused("it contains values that are not strings")
    becomes(" " * 300_000)
    refused("larger than 256 KiB")
    linked()
    refused("Too many levels of symbolic links")
    becomes()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    refused("it belongs to another user")
    monkeypatch.undo()
    tick()
    assert published
    state.unlink()
    tick()
    assert state.read_text() != good
