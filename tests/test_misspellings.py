"""A misspelled name is refused: at import where it is written, or by mypy where it is used.

Each case is planted in a copy of a module; a copy without it is accepted.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import services

SERVICES = Path(services.__file__).parent


@dataclass(frozen=True)
class Misspelling:
    """A wrong name for a module.

    Attributes:
        module: The path of the module in services.
        right: A text that occurs once in it.
        wrong: The text that takes its place.
        complaint: A pattern of the error that follows.
    """

    module: str
    right: str
    wrong: str
    complaint: str

    @property
    def name(self) -> str:
        """Return the name of the module that has the wrong name."""
        return re.sub(r"\W", "_", f"misspelled {self.wrong}")

    def plant(self, folder: Path) -> Path:
        """Write a copy of the module that has the wrong name."""
        source = (SERVICES / self.module).read_text()
        assert source.count(self.right) == 1
        copy = folder / f"{self.name}.py"
        copy.write_text(source.replace(self.right, self.wrong))
        return copy


AT_IMPORT = [
    Misspelling(  # a column that a statement returns
        "profile/store/transfers.py",
        '_WALLET_ID.label("wallet_id")',
        '_WALLET_ID.label("wallet")',
        "returns the columns .* wallet,",
    ),
    Misspelling(  # a parameter of a statement
        "auth/store/outbox.py",
        '_interval("life")',
        '_interval("lfe")',
        "has the parameters .*lfe",
    ),
]
BY_MYPY = [
    Misspelling(  # a column of a row
        "profile/store/profiles.py",
        "name=row.brand_name",
        "name=row.brand_nmae",
        '"_ProfileRow" has no attribute "brand_nmae"',
    ),
    Misspelling(  # a parameter that a statement is given
        "auth/store/outbox.py",
        "_Postponement(mail_id=mail_id, pause=pause",
        "_Postponement(mail_id=mail_id, puse=pause",
        'Unexpected keyword argument "puse"',
    ),
    Misspelling(  # a field of a saga's payload that a step reads
        "auth/sagas/registration.py",
        "verification_flow_id=payload.verification_flow_id",
        "verification_flow_id=payload.verification_flow",
        '"RegistrationPayload" has no attribute "verification_flow"',
    ),
    Misspelling(  # a field of a saga's payload that a use case gives
        "commerce/sagas/kinds.py",
        "OrderPayload(order_id=order_id)",
        "OrderPayload(oder_id=order_id)",
        'Unexpected keyword argument "oder_id"',
    ),
    Misspelling(  # the payload of another kind
        "auth/usecases/delete_user.py",
        "payload = DeletionPayload(user.status, holdings.balance)",
        "payload = Nothing()",
        '"_deletion" of "DeleteUser" has incompatible type "Nothing"',
    ),
]


@pytest.mark.parametrize("case", AT_IMPORT, ids=lambda case: case.name)
def test_a_wrong_name_in_a_statement_does_not_import(
    case: Misspelling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_copy(SERVICES / case.module, case.name, monkeypatch)
    with pytest.raises(TypeError, match=case.complaint):
        import_copy(case.plant(tmp_path), case.name, monkeypatch)


@pytest.mark.slow
def test_a_wrong_name_in_a_function_is_refused_by_mypy(tmp_path: Path) -> None:
    copies = [case.plant(tmp_path) for case in BY_MYPY]
    originals = [SERVICES / case.module for case in BY_MYPY]
    errors = errors_of_mypy(*copies, *originals)
    for case in BY_MYPY:
        own = [error for error in errors if f"{case.name}.py" in error]
        assert any(re.search(case.complaint, error) for error in own)
    assert all(tmp_path.name in error for error in errors)


def import_copy(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look for it there
    spec.loader.exec_module(module)


def errors_of_mypy(*paths: Path) -> list[str]:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, paths)]
    run = subprocess.run(command, cwd=SERVICES.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    return [line for line in run.stdout.splitlines() if ": error:" in line]
