"""The admission webhook: bytes in, `enforce.decide`, bytes out; certificates, limits, breaker, audit."""
