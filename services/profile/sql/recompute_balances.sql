-- Lists every account whose balance does not follow from the transfers: no row is good news.
-- It locks nothing and sees one moment. Run it with: lockstep psql profile < this file
SELECT accounts.id AS account_id,
       accounts.kind,
       accounts.balance AS stored,
       coalesce(moved.balance, 0) AS recomputed,
       accounts.balance - coalesce(moved.balance, 0) AS difference
  FROM accounts
  LEFT JOIN (
        SELECT account_id, sum(amount) AS balance
          FROM (
                SELECT credit_account_id AS account_id, amount FROM transfers WHERE state = 'posted'
                UNION ALL
                SELECT debit_account_id, -amount FROM transfers WHERE state = 'posted'
               ) AS entries
         GROUP BY account_id
       ) AS moved ON moved.account_id = accounts.id
 WHERE accounts.kind IN ('wallet', 'pending')
   AND accounts.balance <> coalesce(moved.balance, 0)
 ORDER BY accounts.id;
