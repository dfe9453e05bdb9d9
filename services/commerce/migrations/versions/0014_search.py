"""Search that finds what people type, and words for suggestions; one name for one category.

All products are written anew under an exclusive lock, which takes about 20 s for 200,000.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
# All of it follows from names, and is made anew on the way forward.
LOSES = {"search_words": "SELECT 0", "categories": "SELECT 0"}

EXTENSIONS = tuple(
    f"CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA public" for name in ("unaccent", "pg_trgm")
)
# `unaccent` itself is not IMMUTABLE: its dictionary might be exchanged. Characters of no width
# and the marks of vowels in Arabic and Hebrew are removed first. Most texts are plain ASCII, and
# need none of it.
FOLD = r"""
CREATE FUNCTION fold(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(given) = char_length(given)
  THEN lower(given COLLATE pg_unicode_fast)
  ELSE public.unaccent('public.unaccent'::regdictionary, casefold(regexp_replace(
    normalize(given, NFKC),
    U&'[\00AD\200B-\200D\2060\FEFF\0591-\05BD\05BF\05C1\05C2\05C4\05C5\05C7\0610-\061A\0640'
      '\064B-\065F\0670\06D6-\06DC\06DF-\06E4\06E7\06E8\06EA-\06ED]',
    '', 'g') COLLATE pg_unicode_fast)) END
"""
WORDS_OF = r"""
CREATE FUNCTION words_of(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN btrim(regexp_replace(fold(given) COLLATE pg_unicode_fast, '[^[:alnum:]]+', ' ', 'g'))
"""
# So `tshirt` finds T-Shirt, and `ab12` AB-12.
JOINED_WORDS_OF = r"""
CREATE FUNCTION joined_words_of(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE fold(given) WHEN translate(fold(given), '-_./+&''', '') THEN words_of(given)
  ELSE words_of(regexp_replace(
    fold(given) COLLATE pg_unicode_fast, '([[:alnum:]])[-_./+&'']+(?=[[:alnum:]])', '\1', 'g')) END
"""
SEARCH_VECTOR = r"""
CREATE FUNCTION search_vector(name text, description text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN setweight(to_tsvector('simple', words_of(name)), 'A')
  || setweight(to_tsvector('simple', joined_words_of(name)), 'A')
  || setweight(to_tsvector('simple', words_of(description)), 'C')
"""
# Every word must begin a word of the product: red becomes 'red':*. NULL without any word. The
# first eight words count. A single letter begins a large part of all words, so it counts only
# when there is nothing else. A digit, and a character of another script, may be a word.
SEARCH_BEGINNINGS = r"""
CREATE FUNCTION search_beginnings(words text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  WITH given AS (
    SELECT word, min(place) AS place, word !~ '^[a-z]$' AS tells
      FROM string_to_table(words, ' ') WITH ORDINALITY AS listed (word, place)
     WHERE word <> '' GROUP BY word
  ), telling AS (
    SELECT word, place FROM given WHERE tells OR NOT EXISTS (SELECT FROM given WHERE tells)
     ORDER BY place LIMIT 8
  )
  SELECT regexp_replace(plainto_tsquery('simple', string_agg(word, ' ' ORDER BY place))::text,
                        '''( & |$)', ''':*\1', 'g')::tsquery
    FROM telling;
END
"""
SEARCH_QUERY = r"""
CREATE FUNCTION search_query(given text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT CASE words WHEN joined THEN search_beginnings(words)
         ELSE coalesce(search_beginnings(words) || search_beginnings(joined),
                       search_beginnings(words), search_beginnings(joined)) END
    FROM (SELECT words_of(given), joined_words_of(given)) AS asked (words, joined);
END
"""
# What has the very words comes before what has longer ones: tea before teapot. An integer, so
# that a page token holds it exactly.
SEARCH_RANK = r"""
CREATE FUNCTION search_rank(words tsvector, query tsquery) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (1e6 * (ts_rank(words, query)
             + ts_rank(words, replace(query::text, ':*', '')::tsquery)))::integer
"""
# Of names that must be unique: accents count, but case, widths and spaces do not.
UNIQUE_NAME = r"""
CREATE FUNCTION unique_name(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN btrim(regexp_replace(normalize(casefold(regexp_replace(
  normalize(given, NFKC), U&'[\00AD\200B-\200D\2060\FEFF]', '', 'g') COLLATE pg_unicode_fast),
  NFKC), '\s+', ' ', 'g'))
"""
FUNCTIONS = (
    FOLD,
    WORDS_OF,
    JOINED_WORDS_OF,
    SEARCH_VECTOR,
    SEARCH_BEGINNINGS,
    SEARCH_QUERY,
    SEARCH_RANK,
    UNIQUE_NAME,
)

OLD_WORDS = (
    "to_tsvector('simple', regexp_replace(lower(name COLLATE \"pg_c_utf8\"),"
    " '[^[:alnum:]]+', ' ', 'g'))"
)
# Of categories whose names have become one, the oldest counts when a name is taken.
MARK_TWINS = """
UPDATE categories SET is_twin = true FROM (
  SELECT id, row_number() OVER (PARTITION BY unique_name ORDER BY create_time, id) AS place
    FROM categories) AS ranked
 WHERE ranked.id = categories.id AND place > 1
"""


def upgrade() -> None:
    for each in (*EXTENSIONS, *FUNCTIONS):
        op.execute(sa.text(each.replace(":", r"\:")))
    set_words("search_vector(name, description)")
    op.create_table(
        "search_words",
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("products", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("word", name="pk_search_words"),
    )
    op.create_index(
        "ix_search_words_trigrams",
        "search_words",
        ["word"],
        postgresql_using="gin",
        postgresql_ops={"word": "public.gin_trgm_ops"},
    )
    op.add_column(
        "categories", sa.Column("is_twin", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column(
        "categories",
        sa.Column(
            "unique_name",
            sa.Text(collation="C"),
            sa.Computed("unique_name(name)", persisted=True),
            nullable=False,
        ),
    )
    op.execute(MARK_TWINS)
    op.create_index(
        "uq_categories_unique_name",
        "categories",
        ["unique_name"],
        unique=True,
        postgresql_where=sa.text("NOT is_twin"),
    )


def downgrade() -> None:
    """Go back; the extensions stay, because others may use them."""
    op.drop_index("uq_categories_unique_name")
    op.drop_column("categories", "unique_name")
    op.drop_column("categories", "is_twin")
    op.drop_table("search_words")
    set_words(OLD_WORDS)
    for name in (
        "unique_name",
        "search_rank",
        "search_query",
        "search_beginnings",
        "search_vector",
        "joined_words_of",
        "words_of",
        "fold",
    ):
        op.execute(f"DROP FUNCTION {name}")


def set_words(expression: str) -> None:
    op.execute(
        sa.text(
            f"ALTER TABLE products ALTER COLUMN words SET EXPRESSION AS ({expression})".replace(
                ":", r"\:"
            )
        )
    )
