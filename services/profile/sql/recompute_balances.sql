-- Lists every account whose balance does not follow from the transfers, or whose statement has
-- lines with another balance than the lines before them give: no row is good news.
-- It locks nothing and sees one moment. Run it with: lockstep psql profile < this file
SELECT accounts.id AS account_id,
       accounts.kind,
       accounts.balance AS stored,
       coalesce(moved.balance, 0) AS recomputed,
       accounts.balance - coalesce(moved.balance, 0) AS difference,
       coalesce(moved.wrong_lines, 0) AS wrong_lines
  FROM accounts
  LEFT JOIN (
        SELECT account_id,
               sum(amount) AS balance,
               -- Lines that were written by 0.1 during the update have no balance.
               count(*) FILTER (WHERE balance_after <> running) AS wrong_lines
          FROM (
                SELECT entries.*, sum(amount) OVER (
                         PARTITION BY account_id ORDER BY create_time, id) AS running
                  FROM (
                        SELECT credit_account_id AS account_id, amount, credit_balance AS balance_after,
                               create_time, id
                          FROM transfers WHERE state = 'posted'
                        UNION ALL
                        SELECT debit_account_id, -amount, debit_balance, create_time, id
                          FROM transfers WHERE state = 'posted'
                       ) AS entries
               ) AS statements
         GROUP BY account_id
       ) AS moved ON moved.account_id = accounts.id
 WHERE accounts.kind IN ('wallet', 'pending')
   AND (accounts.balance <> coalesce(moved.balance, 0) OR moved.wrong_lines > 0)
 ORDER BY accounts.id;
