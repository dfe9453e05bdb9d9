"""`lockstep seed`: fills the catalog."""

from typing import Annotated, Final

import typer

from services.cli.tables import Record, show

# More would take long to draw, and nobody scrolls so far.
PICTURES = 500
PEOPLE: Final = {"does": "Person who", "email": "E-mail", "password": "Password"}


def seed(
    products: Annotated[int, typer.Option(min=1, max=10_000_000, help="products to add")] = 1000,
    categories: Annotated[
        int, typer.Option(min=1, max=10_000, help="categories to spread them over")
    ] = 16,
    *,
    people: Annotated[
        bool, typer.Option("--people", help="make people, too: a buyer, a seller, an administrator")
    ] = False,
) -> None:
    """Fill the catalog with believable products, and the shop with people if asked."""
    if people:
        # At once: the passwords are told nowhere else, and filling may fail or be interrupted.
        made = _people()
        typer.echo(f"these people sign in at {_address()}:")
        show(made, PEOPLE, empty="")
    _fill(products, categories)


def _people() -> list[Record]:
    """Make the people first, because they need the services to run."""
    from services.cli.people import make_people

    return [
        {"does": person.does, "email": person.email, "password": person.password}
        for person in make_people()
    ]


def _address() -> str:
    from services.cli.running import gateway_url
    from services.cli.system import System

    return gateway_url(System())


def _fill(products: int, categories: int) -> None:
    import psycopg
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from services.cli.databases import in_a_line, setting_of
    from services.cli.errors import CommandError
    from services.cli.system import System
    from services.commerce.domain.demo_pictures import pictures_of
    from services.commerce.store import seeding

    system = System()
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with system.running_postgres(), Progress(*columns) as progress:
        task = progress.add_task("products", total=products)
        try:
            seeding.seed(
                system.migrate_url("commerce"),
                products=products,
                categories=categories,
                on_progress=lambda written: progress.advance(task, written),
                draw=pictures_of,
                pictures=PICTURES,
            )
        except psycopg.OperationalError as error:
            reason = in_a_line(error)
            raise CommandError(
                f"cannot reach the catalog's database: {reason} (see {setting_of('commerce')})"
            ) from error
    typer.echo(f"added {products} products in {categories} categories")
