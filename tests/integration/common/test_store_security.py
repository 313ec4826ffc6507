"""Every service's identity at a real S3 server: reaches its own prefixes and no other's."""

from __future__ import annotations

import pytest

from rstar_cli.local.credentials import store_of
from rstar_common.artifacts import INBOX, PROBE, ObjectStore
from rstar_common.errors import InvalidInput, NotFound, RstarError
from rstar_common.store_roles import IDENTITIES

READERS = {
    "trees/security/": {"searcher", "trainer", "observer"},
    "checkpoints/policy/security/": {"trainer", "policy"},
    "checkpoints/ppm/security/": {"trainer", "ppm"},
    "datasets/security/": {"trainer", "observer"},
    "evolution/security/": {"trainer", "observer"},
    f"{INBOX}security/": {"searcher", "trainer", "publisher"},
    f"{PROBE}security/": set(IDENTITIES),
    "elsewhere/security/": set(),
    "treesecurity/": set(),
}
WRITERS = {
    "trees/security/": {"searcher", "trainer"},
    "checkpoints/policy/security/": {"trainer"},
    "checkpoints/ppm/security/": {"trainer"},
    "datasets/security/": {"trainer"},
    "evolution/security/": {"trainer"},
    f"{INBOX}security/": {"trainer", "publisher"},
    f"{PROBE}security/": set(),
    "elsewhere/security/": set(),
    "treesecurity/": set(),
}
"""Who may do what where: written by hand, so that a mistake in the roles is seen here."""


async def done(action):
    """Whether the store let us."""
    try:
        await action
    except NotFound:
        raise
    except RstarError:
        return False
    return True


async def listed(store, prefix):
    return [key async for key in store.keys(prefix)]


@pytest.mark.parametrize("identity", IDENTITIES)
async def test_an_identity_reaches_its_own_prefixes_and_no_other(object_store_settings, identity):
    operator = ObjectStore(object_store_settings)
    store = ObjectStore(store_of(identity, object_store_settings))
    await store.ready()
    assert not await done(listed(store, ""))
    for prefix, readers in READERS.items():
        await operator.put(f"{prefix}kept", b"kept")
        may_read, may_write = identity in readers, identity in WRITERS[prefix]
        assert await done(store.get(f"{prefix}kept")) == may_read, prefix
        assert await done(store.size(f"{prefix}kept")) == may_read, prefix
        assert await done(listed(store, prefix)) == may_read, prefix
        assert await done(store.put(f"{prefix}{identity}", b"1")) == may_write, prefix
        assert await done(store.put(f"{prefix}kept", b"spoiled")) == may_write, prefix
        if not may_write:
            assert await operator.get(f"{prefix}kept") == b"kept"


@pytest.mark.parametrize(
    ("access", "secret"), [("", ""), ("nobody", "x"), (None, "wrong"), ("wrong", None)]
)
async def test_keys_that_do_not_fit_open_nothing(object_store_settings, access, secret):
    searcher = store_of("searcher", object_store_settings)
    keys = {
        "access_key": access if access is not None else searcher.access_key.get_secret_value(),
        "secret_key": secret if secret is not None else searcher.secret_key.get_secret_value(),
    }
    raw = object_store_settings.model_dump() | keys
    store = ObjectStore(type(object_store_settings).model_validate(raw))
    assert not await done(store.get(f"{PROBE}ready"))
    assert not await done(store.put("trees/security/forged", b"1"))


@pytest.mark.parametrize("key", ["inbox/\x01", "inbox/../trees/x", "inbox/a\\u0007\x7f"])
async def test_a_key_that_can_be_none_is_the_fault_of_who_named_it(object_store_settings, key):
    store = ObjectStore(object_store_settings)
    with pytest.raises(InvalidInput):
        await store.size(key)
    with pytest.raises(InvalidInput):
        await store.get(key)


async def test_the_sandbox_has_no_identity():
    assert "sandbox" not in IDENTITIES
