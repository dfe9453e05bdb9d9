-- Lists every account whose balance does not follow from the transfers, or whose statement has
-- lines that begin with a balance which no other line has left: no row is good news.
-- In which order the lines were written is not looked at: a clock may have gone back meanwhile.
-- It locks nothing and sees one moment. Run it with: lockstep psql profile < this file
WITH entries AS (
     SELECT credit_account_id AS account_id, amount, credit_balance AS balance_after
       FROM transfers WHERE state = 'posted'
     UNION ALL
     SELECT debit_account_id, -amount, debit_balance
       FROM transfers WHERE state = 'posted'
), moved AS (
     SELECT account_id,
            sum(amount) AS balance,
            -- Lines that were written by 0.1 during the update have no balance.
            count(*) FILTER (WHERE balance_after IS NULL) AS unknown
       FROM entries
      GROUP BY account_id
), balances AS (
     SELECT account_id, balance_after - amount AS balance, 1 AS begun, 0 AS ended
       FROM entries WHERE balance_after IS NOT NULL
     UNION ALL
     SELECT account_id, balance_after, 0, 1
       FROM entries WHERE balance_after IS NOT NULL
     UNION ALL
     SELECT id, 0, 0, 1 -- The first line begins with nothing.
       FROM accounts
), statements AS (
     SELECT account_id, sum(greatest(begun - ended, 0)) AS wrong_lines
       FROM (SELECT account_id, balance, sum(begun) AS begun, sum(ended) AS ended
               FROM balances GROUP BY account_id, balance) AS counted
      GROUP BY account_id
)
SELECT accounts.id AS account_id,
       accounts.kind,
       accounts.balance AS stored,
       coalesce(moved.balance, 0) AS recomputed,
       accounts.balance - coalesce(moved.balance, 0) AS difference,
       greatest(statements.wrong_lines - coalesce(moved.unknown, 0), 0) AS wrong_lines
  FROM accounts
  JOIN statements ON statements.account_id = accounts.id
  LEFT JOIN moved ON moved.account_id = accounts.id
 WHERE accounts.kind IN ('wallet', 'pending')
   AND (accounts.balance <> coalesce(moved.balance, 0)
        OR statements.wrong_lines > coalesce(moved.unknown, 0))
 ORDER BY accounts.id;
