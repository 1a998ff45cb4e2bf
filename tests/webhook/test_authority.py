"""Certificates of the own authority over years: what is served is always trusted by who read the bundle lately."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from pytest_kspec.webhook.authority import CertificateError, Periods, advance, expiry

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOSTS = ("kspec-webhook.kspec-system.svc", "127.0.0.1")


def verifies(certificate, bundle, moment):
    store = Store(x509.load_pem_x509_certificates(bundle))
    verifier = PolicyBuilder().store(store).time(moment.replace(tzinfo=None))
    built = verifier.build_server_verifier(x509.DNSName(HOSTS[0]))
    built.verify(x509.load_pem_x509_certificate(certificate), [])


def test_it_starts_with_one_authority_and_changes_nothing_without_need():
    made = advance(None, HOSTS, START)
    assert advance(made, HOSTS, START + dt.timedelta(days=59)) is made
    assert made.bundle.count(b"BEGIN") == 1
    assert expiry(made.certificate) == START + dt.timedelta(days=90)
    verifies(made.certificate, made.bundle, START)


def test_the_certificate_is_renewed_thirty_days_before_its_end():
    made = advance(None, HOSTS, START)
    renewed = advance(made, HOSTS, START + dt.timedelta(days=61))
    assert renewed.certificate != made.certificate
    assert renewed.bundle == made.bundle
    assert expiry(renewed.certificate) == START + dt.timedelta(days=151)


def test_two_authorities_overlap_at_every_moment_of_three_years():
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


def test_an_authority_that_nothing_is_signed_by_any_more_goes():
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


def test_other_hosts_get_another_certificate_of_the_same_authority():
    made = advance(None, HOSTS, START)
    other = advance(made, ("other.svc",), START)
    assert other.bundle == made.bundle
    names = x509.load_pem_x509_certificate(other.certificate).extensions
    assert names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == ["other.svc"]


def test_what_cannot_be_read_is_said_without_what_it_holds():
    with pytest.raises(CertificateError, match="no PEM certificate"):
        expiry(b"secret")
