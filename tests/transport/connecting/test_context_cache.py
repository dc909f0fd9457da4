"""The TLS contexts that are kept, and which is dropped when they take too much memory."""

from dispatcher.core.credentials import TlsIdentity, tls_identity
from dispatcher.transport.connecting.context_cache import (
    BYTES_PER_CHARACTER,
    CONTEXT_BYTES,
    ContextCache,
)


def identity(number: int, size: int = 100) -> TlsIdentity:
    return tls_identity(None, None, f"{number:0{size}}")


def kept(cache: ContextCache[str], *identities: TlsIdentity) -> list[bool]:
    return [cache.get(key) is not None for key in identities]


def test_a_context_is_kept_once_for_all_environments() -> None:
    cache = ContextCache[str](9, 2**20)
    cache.keep("a", identity(1), "first")
    cache.keep("b", identity(1), "second")
    assert cache.get(identity(1)) == "second"
    assert cache.get(identity(2)) is None


def test_contexts_are_bounded_by_the_size_of_their_certificates() -> None:
    large = CONTEXT_BYTES + 65_536 * BYTES_PER_CHARACTER
    cache = ContextCache[str](1_000, 3 * large)
    identities = [identity(number, 65_536) for number in range(5)]
    for key in identities:
        cache.keep("a", key, "")
    assert kept(cache, *identities) == [False, False, True, True, True]
    small = [identity(number) for number in range(38)]
    for key in small:
        cache.keep("a", key, "")
    assert kept(cache, *identities[2:]) == [False, True, True]
    assert all(kept(cache, *small))


def test_the_certificate_of_a_client_counts_too() -> None:
    cache = ContextCache[str](9, 2**20)
    pairs = [tls_identity("c" * 65_536, str(number), None) for number in range(2)]
    for pair in pairs:
        cache.keep("a", pair, "")
    assert kept(cache, *pairs) == [False, True]


def test_an_environment_with_many_contexts_drops_only_its_own() -> None:
    cache = ContextCache[str](4, 2**30)
    cache.keep("small", identity(1), "")
    for number in range(10, 20):
        cache.keep("large", identity(number), "")
    assert kept(cache, identity(1)) == [True]
    assert kept(cache, *map(identity, range(16, 20))) == [False, True, True, True]


def test_the_context_that_was_not_used_for_longest_is_dropped() -> None:
    cache = ContextCache[str](2, 2**20)
    for number in (1, 2):
        cache.keep("a", identity(number), "")
    assert cache.get(identity(1)) is not None
    cache.keep("a", identity(3), "")
    assert kept(cache, identity(1), identity(2), identity(3)) == [True, False, True]
