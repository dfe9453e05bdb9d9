"""PostgreSQL: statements, transactions, connections, migrations, clean-up."""
