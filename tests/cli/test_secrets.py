"""Secrets: one a purpose and service, read with suspicion, replaced while they are in use."""

import base64
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from services.auth.domain.codes import code_hmac
from services.auth.domain.tokens import RefreshTokens
from services.auth.model import CanonicalEmail
from services.common import key_files
from services.common.key_files import drop_old_secret, initialise, rotate_secret, view
from services.common.keys import SERVICES, KeyRing, KeysError, SigningKeys, secrets_of
from services.kernel.errors import InvalidField
from services.kernel.ids import new_id
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import ServiceTokens
from services.kernel.secret import Secret
from tests.cli.conftest import Lockstep, finish

OLD_SECRET = bytes(range(32))
EMAIL = CanonicalEmail("ada@example.com")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    initialise(tmp_path / "keys")
    return tmp_path / "keys"


def only(folder: Path, service: str, at: Path) -> Path:
    """Copy what one process gets: its own folder and trusted.json."""
    at.mkdir()
    shutil.copy(folder / "trusted.json", at)
    shutil.copytree(folder / service, at / service)
    return at


def text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


ALL_SECRETS = [(service, name) for service in SERVICES for name in secrets_of(service)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_needs_its_own_folder_and_the_public_keys_alone(
    folder: Path, tmp_path: Path, service: str
) -> None:
    given = only(folder, service, tmp_path / "given")

    assert KeyRing.load(given, service).service == service
    assert sorted(path.name for path in given.iterdir()) == sorted([service, "trusted.json"])


@pytest.mark.parametrize(
    ("service", "other"), [(a, b) for a in SERVICES for b in SERVICES if a != b]
)
def test_a_folder_is_no_use_to_another_process(
    folder: Path, tmp_path: Path, service: str, other: str
) -> None:
    given = only(folder, other, tmp_path / "given")

    with pytest.raises(KeysError) as caught:
        KeyRing.load(given, service)
    assert str(caught.value).count("\n") == 0


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b"\n"),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2]),
    "cut by a character": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "longer": lambda path: path.write_bytes(b"A" + path.read_bytes()),
    "raw bytes": lambda path: path.write_bytes(OLD_SECRET),
    "not base64url": lambda path: path.write_bytes(b"+" * 43),
    "the same key twice": lambda path: path.write_bytes(path.read_bytes() * 2),
    "three keys": lambda path: path.write_text(
        "".join(text(secrets.token_bytes(32)) + "\n" for _ in "123")
    ),
    "text": lambda path: path.write_text("ä secret\n"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("service", "name"), ALL_SECRETS)
def test_what_is_no_secret_is_refused_in_one_line(
    folder: Path, service: str, name: str, damage: str
) -> None:
    path = folder / service / name
    content = path.read_text()
    DAMAGE[damage](path)

    with pytest.raises(KeysError) as caught:
        KeyRing.load(folder, service)

    line = str(caught.value)
    assert line.startswith(f"{path} ")
    assert line.count("\n") == 0
    assert content.strip() not in line
    assert "lockstep keys init" in line
    if damage != "missing":
        with pytest.raises(KeysError, match=str(path)):
            initialise(folder)


@pytest.mark.parametrize(
    ("name", "other"), [(a, b) for a in secrets_of("auth") for b in secrets_of("auth") if a != b]
)
def test_a_secret_in_the_place_of_another_is_refused(folder: Path, name: str, other: str) -> None:
    """As the key in use, and as the old one: either would make what the other verifies."""
    auth = folder / "auth"
    shutil.copy(auth / other, auth / name)
    with pytest.raises(KeysError, match="must not hold the same key"):
        KeyRing.load(folder, "auth")

    (auth / name).write_text(text(secrets.token_bytes(32)) + "\n" + (auth / other).read_text())
    with pytest.raises(KeysError, match="must not hold the same key"):
        KeyRing.load(folder, "auth")


def test_a_secret_of_another_service_is_refused_where_both_are_seen(folder: Path) -> None:
    shutil.copy(folder / "profile" / "requests", folder / "commerce" / "requests")

    with pytest.raises(KeysError, match=r"commerce/requests must not hold the same key"):
        initialise(folder)


def test_an_identity_of_another_service_is_refused(folder: Path) -> None:
    shutil.copy(folder / "profile" / "identity.pem", folder / "commerce" / "identity.pem")

    with pytest.raises(KeysError, match="is not the key of commerce"):
        KeyRing.load(folder, "commerce")
    with pytest.raises(KeysError, match="has the same key for profile and commerce"):
        initialise(folder)


def test_a_lost_secret_is_made_anew_and_the_others_stay(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lost = folder / "auth" / "codes"
    lost.unlink()

    assert initialise(folder) == ["auth"]

    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after[path]} == {lost}


@pytest.mark.parametrize("thief", SERVICES)
def test_from_one_folder_nobody_can_make_what_another_service_verifies(
    folder: Path, thief: str
) -> None:
    """The thief knows every key in one folder, and the ids that a service sees."""
    loot = [key for each in KeyRing.load(folder, thief).secrets.values() for key in each.all_keys()]
    auth = KeyRing.load(folder, "auth")
    if thief != "auth":
        refresh = RefreshTokens(auth.secrets["refresh"])
        seed, flow = refresh.new(new_id()), new_id()
        for key in loot:
            stolen = Secret.of(key)
            assert refresh.read(RefreshTokens(stolen).make(seed)) is None
            right = code_hmac(auth.secrets["codes"], flow, EMAIL, "123456")
            assert code_hmac(stolen, flow, EMAIL, "123456") != right
        assert not (folder / thief / "tokens").exists()
    for victim in {"auth", "profile", "commerce"} - {thief}:
        pages = PageTokens(KeyRing.load(folder, victim).secrets["requests"])
        for key in loot:
            with pytest.raises(InvalidField):
                pages.read(PageTokens(Secret.of(key)).make([1], listing="x"), listing="x")


def test_a_rotated_secret_makes_anew_and_verifies_both_without_a_restart(folder: Path) -> None:
    running = KeyRing.load(folder, "commerce").secrets["requests"]
    pages = PageTokens(running)
    before = pages.make([1], listing="x")

    rotate_secret(folder, "commerce", "requests")
    after = pages.make([1], listing="x")
    assert before != after
    assert pages.read(before, listing="x") == pages.read(after, listing="x") == [1]

    drop_old_secret(folder, "commerce", "requests")
    assert pages.read(after, listing="x") == [1]
    with pytest.raises(InvalidField):
        pages.read(before, listing="x")


def test_counters_stay_with_their_row_through_a_rotation(folder: Path) -> None:
    running = KeyRing.load(folder, "auth").secrets["pseudonyms"]
    before = running.lasting_digest(b"ada")

    rotate_secret(folder, "auth", "pseudonyms")

    assert running.lasting_digest(b"ada") == before
    assert running.digest(b"ada") != before


def test_a_change_that_cannot_be_used_leaves_the_keys_in_use(folder: Path) -> None:
    ring = KeyRing.load(folder, "auth")
    before = ring.secrets["codes"].digest(b"x")
    known, signing = dict(ring.trusted), SigningKeys.load(folder)
    kid, _ = signing.signing

    for path in ("auth/codes", "trusted.json", "auth/tokens/tokens.json"):
        (folder / path).write_text("")

    assert ring.secrets["codes"].digest(b"x") == before
    assert dict(ring.trusted) == known
    assert signing.signing[0] == kid


def test_a_service_that_is_trusted_or_no_longer_counts_at_once(folder: Path) -> None:
    from lockstep_clients import ServiceIdentity

    from services.kernel.errors import InvalidToken

    tokens = ServiceTokens("auth", KeyRing.load(folder, "auth").trusted)
    initialise(folder, [*SERVICES, "shipping"])
    token = ServiceIdentity("shipping", KeyRing.load(folder, "shipping").private_key).token("auth")
    assert tokens.verify(token).name == "shipping"

    trusted = folder / "trusted.json"
    trusted.write_text(trusted.read_text().replace('"shipping"', '"packing"'))
    with pytest.raises(InvalidToken):
        tokens.verify(token)


def test_a_view_shows_the_keys_of_one_service(folder: Path, tmp_path: Path) -> None:
    seen = view(folder, "profile", at=tmp_path / "views" / "profile")
    assert view(folder, "profile", at=seen) == seen

    assert KeyRing.load(seen, "profile").service == "profile"
    with pytest.raises(KeysError):
        KeyRing.load(seen, "auth")


def to_old_layout(folder: Path) -> None:
    """Give the keys the layout that they had when all services had one secret."""
    for service in SERVICES:
        (folder / service / "identity.pem").rename(folder / f"{service}.pem")
    (folder / "auth" / "tokens").rename(folder / "tokens")
    for service in SERVICES:
        shutil.rmtree(folder / service)
    (folder / "secret").write_bytes(OLD_SECRET)


def test_the_layout_before_moves_and_what_it_made_stays_valid(folder: Path) -> None:
    identities = {name: KeyRing.load(folder, name).private_key.public_key() for name in SERVICES}
    kid, _ = SigningKeys.load(folder).signing
    to_old_layout(folder)

    assert initialise(folder) == ["auth", "profile", "commerce"]
    assert initialise(folder) == []

    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [".lock", "trusted.json", *SERVICES]
    )
    assert SigningKeys.load(folder).signing[0] == kid
    old = Secret.of(OLD_SECRET)
    token = PageTokens(old).make([1], listing="x")
    for name in SERVICES:
        ring = KeyRing.load(folder, name)
        assert ring.private_key.public_key() == identities[name]
        if "requests" in ring.secrets:
            assert PageTokens(ring.secrets["requests"]).read(token, listing="x") == [1]
    auth = KeyRing.load(folder, "auth").secrets
    for name in ("requests", "codes", "outbox", "pseudonyms"):
        assert auth[name].verifies(b"x", old.digest(b"x"))
        assert auth[name].digest(b"x") != old.digest(b"x")
    for name in ("refresh", "totp"):
        assert not auth[name].verifies(b"x", old.digest(b"x"))


class Killed(Exception):
    pass


def test_a_move_that_is_interrupted_anywhere_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before the n-th change of a file, for every n."""
    changes = 0
    for number in range(100):
        folder = tmp_path / str(number) / "keys"
        initialise(folder)
        public = KeyRing.load(folder, "auth").private_key.public_key()
        to_old_layout(folder)
        changes = 0

        def counted(done: Callable[..., None], limit: int = number) -> Callable[..., None]:
            def change(*given: object) -> None:
                nonlocal changes
                changes += 1
                if changes > limit:
                    raise Killed
                done(*given)

            return change

        with monkeypatch.context() as patch:
            for name in ("write_file", "_remove"):
                patch.setattr(key_files, name, counted(getattr(key_files, name)))
            try:
                initialise(folder)
                break
            except Killed:
                pass
        initialise(folder)
        ring = KeyRing.load(folder, "auth")
        assert ring.private_key.public_key() == public
        assert ring.secrets["codes"].verifies(b"x", Secret.of(OLD_SECRET).digest(b"x"))
        assert not (folder / "secret").exists()
    assert changes > 20


@pytest.mark.parametrize("content", [b"", OLD_SECRET[:31], OLD_SECRET * 2])
def test_a_damaged_secret_of_the_layout_before_is_refused(folder: Path, content: bytes) -> None:
    to_old_layout(folder)
    (folder / "secret").write_bytes(content)

    with pytest.raises(KeysError, match="secret is"):
        initialise(folder)
    assert (folder / "secret").read_bytes() == content


def test_keys_in_both_places_that_differ_are_refused(folder: Path) -> None:
    shutil.copy(folder / "profile" / "identity.pem", folder / "auth.pem")

    with pytest.raises(KeysError, match=r"auth.pem and .*identity.pem differ"):
        initialise(folder)


def test_the_command_rotates_a_secret_and_drops_the_old_key(lockstep: Lockstep) -> None:
    finish(lockstep("keys", "init"))

    def rotate(*arguments: str) -> tuple[int, str]:
        code, output, errors = finish(lockstep("keys", "rotate-secret", *arguments))
        assert output.count("\n") + errors.count("\n") == 1
        return code, output + errors

    assert rotate("auth", "codes") == (
        0,
        "auth/codes: the new key makes, and the old one still verifies\n",
    )
    assert "still has an old key" in rotate("auth", "codes")[1]
    assert rotate("auth", "codes", "--drop-old")[0] == 0
    assert "has no old key" in rotate("auth", "codes", "--drop-old")[1]
    assert "auth has no secret salt: it has requests" in rotate("auth", "salt")[1]
    assert "gateway has no secret requests: it has none" in rotate("gateway", "requests")[1]
