-- Leases, lots, budgets in leases, spools, dead events; and what is posted to lots.
--
-- Rules that the database keeps, whoever writes:
--   * An account has at most one OPEN lease, and no lease settles and returns more than it was granted.
--   * Lots change by transfers only, in the transaction that inserts them: what is given makes a lot, what leaves
--     available + leased + held is taken from the lot that expires first. So the sum of what remains in an account's
--     lots is available + leased + held; a transfer that would break this does not commit.

ALTER TABLE quotas_account
    ADD COLUMN epoch         bigint NOT NULL DEFAULT 0,    -- of its latest lease; rises only
    ADD COLUMN spent_day     date,                         -- UTC
    ADD COLUMN spent_on_day  bigint NOT NULL DEFAULT 0;    -- what was spent on spent_day: for a tier's cap

ALTER TABLE quotas_transfer DROP CONSTRAINT quotas_transfer_kind;
ALTER TABLE quotas_transfer ADD CONSTRAINT quotas_transfer_kind CHECK ((code, debit, credit) IN (
    ('GRANT', 'issuer', 'available'),
    ('HOLD', 'available', 'held'),
    ('SETTLE', 'held', 'spent'),
    ('RELEASE', 'held', 'available'),
    ('OVERRUN', 'available', 'spent'),
    ('ABSORB', 'house', 'absorbed'),
    ('SETTLE_FIX', 'available', 'spent'),
    ('SETTLE_FIX', 'spent', 'available'),
    ('ABSORB_FIX', 'house', 'absorbed'),
    ('ABSORB_FIX', 'absorbed', 'house'),
    ('LEASE', 'available', 'leased'),
    ('SETTLE', 'leased', 'spent'),
    ('SETTLE_FIX', 'leased', 'spent'),
    ('SETTLE_FIX', 'spent', 'leased'),
    ('RETURN', 'leased', 'available'),
    ('CLOSE', 'leased', 'available'),
    ('LATE', 'available', 'spent'),
    ('LATE_FIX', 'available', 'spent'),
    ('LATE_FIX', 'spent', 'available'),
    ('EXPIRE', 'available', 'expired'),
    ('REVOKE', 'available', 'refunded')
));

CREATE TABLE quotas_lot (
    account_id  uuid NOT NULL,
    id          uuid NOT NULL,                  -- the grant's
    kind        text NOT NULL DEFAULT 'grant' CHECK (kind IN ('grant', 'allowance', 'purchase', 'correction')),
    tokens      bigint NOT NULL DEFAULT 0,      -- as given
    remaining   bigint NOT NULL DEFAULT 0,      -- not yet spent, expired or taken back
    expires_at  timestamptz,                    -- null: never
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Changes once or twice in a lot's life, so that the indices on it leave the other updates in their page (HOT).
    open        boolean NOT NULL GENERATED ALWAYS AS (remaining > 0) STORED,
    PRIMARY KEY (account_id, id),
    CONSTRAINT quotas_lot_bounds CHECK (remaining BETWEEN 0 AND tokens AND tokens <= 9000000000000000)
) WITH (fillfactor = 50);

CREATE INDEX quotas_lot_spending ON quotas_lot (account_id, expires_at, id) WHERE open;
CREATE INDEX quotas_lot_allowance ON quotas_lot (made_at) WHERE kind = 'allowance';
CREATE INDEX quotas_lot_expiry ON quotas_lot (expires_at) WHERE open AND expires_at IS NOT NULL;

-- What accounts have had until now: a lot for each grant, spent in their order.
INSERT INTO quotas_lot (account_id, id, tokens, remaining, made_at)
SELECT grants.account_id, grants.ref, grants.amount, least(grants.amount, greatest(grants.upto - used.tokens, 0)), grants.at
FROM (
    SELECT account_id, ref, amount, at, sum(amount) OVER (PARTITION BY account_id ORDER BY at, id) AS upto
    FROM quotas_transfer WHERE code = 'GRANT'
) AS grants
JOIN (
    SELECT id, granted - available - leased - held AS tokens FROM quotas_account
) AS used ON used.id = grants.account_id;

CREATE TABLE quotas_lease (
    account_id  uuid NOT NULL,
    epoch       bigint NOT NULL CHECK (epoch > 0),
    id          uuid NOT NULL,                  -- derived from the two, for what can name one column only
    generation  integer NOT NULL,               -- of the ledger, when it was granted
    run_id      text NOT NULL DEFAULT '',       -- of the Valkey that it was meant for
    granted     bigint NOT NULL CHECK (granted BETWEEN 0 AND 9000000000000000),
    settled     bigint NOT NULL DEFAULT 0 CHECK (settled >= 0),
    returned    bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
    state       text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'DOUBT', 'CLOSED')),
    doubt       text NOT NULL DEFAULT '',       -- why it is, or was, in doubt
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at     timestamptz NOT NULL DEFAULT clock_timestamp(),    -- when a part was last given or a call last booked
    expires_at  timestamptz NOT NULL,           -- by the database's clock: for renewal
    expires_tick bigint NOT NULL,               -- by the ledger's own clock, which only ticks: for closing
    doubted_at  timestamptz,
    closed_at   timestamptz,
    journal     text NOT NULL DEFAULT '',       -- its shard's journal when closing was first thought of,
    entry       text NOT NULL DEFAULT '',       -- and its last entry: what must be drained before
    PRIMARY KEY (account_id, epoch),
    CONSTRAINT quotas_lease_bounds CHECK (settled + returned <= granted),
    CONSTRAINT quotas_lease_closed CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL)),
    CONSTRAINT quotas_lease_closed_whole CHECK (state <> 'CLOSED' OR settled + returned = granted)
) WITH (fillfactor = 50);

CREATE INDEX quotas_lease_id ON quotas_lease (id);
CREATE UNIQUE INDEX quotas_lease_open ON quotas_lease (account_id) WHERE state = 'OPEN';
CREATE INDEX quotas_lease_expiry ON quotas_lease (expires_at) WHERE state = 'OPEN';
CREATE INDEX quotas_lease_expiry_tick ON quotas_lease (expires_tick) WHERE state = 'OPEN';
CREATE INDEX quotas_lease_doubt ON quotas_lease (expires_tick) WHERE state = 'DOUBT';

CREATE TABLE quotas_lease_part (
    account_id  uuid NOT NULL,
    id          uuid NOT NULL,
    epoch       bigint NOT NULL,
    tokens      bigint NOT NULL CHECK (tokens >= 0),   -- 0: only budgets
    budgets     jsonb NOT NULL DEFAULT '{}',    -- what of each budget goes with it
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    opens       boolean NOT NULL,               -- the epoch's first, which is never sent again
    applied     boolean NOT NULL DEFAULT false, -- known to be in the purse
    PRIMARY KEY (account_id, id)
);
CREATE INDEX quotas_lease_part_unconfirmed ON quotas_lease_part (made_at) WHERE NOT applied;

CREATE INDEX quotas_lease_part_lease ON quotas_lease_part (account_id, epoch, made_at);

-- A budget is a key's, of several keys that replaced one another, or a member's for a window; its id says whose.
ALTER TABLE quotas_key_budget RENAME TO quotas_budget;
ALTER TABLE quotas_budget RENAME COLUMN key_id TO id;
ALTER TABLE quotas_budget ADD COLUMN leased bigint NOT NULL DEFAULT 0 CHECK (leased >= 0);
ALTER INDEX quotas_key_budget_pkey RENAME TO quotas_budget_pkey;

DROP POLICY tenant ON quotas_budget;
CREATE POLICY tenant ON quotas_budget USING (
    leaky_sees_all() OR EXISTS (SELECT FROM accounts_apikey WHERE accounts_apikey.id = quotas_budget.id)
    OR (starts_with(id, 'member:') AND (
        split_part(id, ':', 3) = leaky_user()::text
        OR split_part(id, ':', 2) IN (SELECT seen::text FROM leaky_orgs() AS seen)
    ))
);

CREATE TABLE quotas_budget_lease (
    account_id  uuid NOT NULL,
    epoch       bigint NOT NULL,
    budget_id   text NOT NULL,
    granted     bigint NOT NULL CHECK (granted >= 0),
    settled     bigint NOT NULL DEFAULT 0 CHECK (settled >= 0),
    returned    bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
    returned_by uuid,                           -- the latest return that brought no tokens, which has no transfer
    PRIMARY KEY (account_id, epoch, budget_id),
    CONSTRAINT quotas_budget_lease_bounds CHECK (settled + returned <= granted)
) WITH (fillfactor = 50);

CREATE INDEX quotas_budget_lease_budget ON quotas_budget_lease (budget_id);

-- Holds: several budgets, the lease that they were taken from, and how their calls ended.
DROP INDEX quotas_hold_budget;
ALTER TABLE quotas_hold DROP CONSTRAINT quotas_hold_amount_check;
ALTER TABLE quotas_hold
    ADD CONSTRAINT quotas_hold_amount_check CHECK (amount BETWEEN 0 AND 9000000000000000),
    ADD COLUMN budgets text[] NOT NULL DEFAULT '{}',
    ADD COLUMN epoch bigint,                    -- null: taken by a row lock
    ADD COLUMN ending jsonb;                    -- usage, outcome, status, times; null while it is held
UPDATE quotas_hold SET budgets = ARRAY[budget_id] WHERE budget_id IS NOT NULL;
ALTER TABLE quotas_hold DROP COLUMN budget_id;

CREATE TABLE quotas_spool (
    id              text PRIMARY KEY,
    host            text NOT NULL,
    state           text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'CLOSED', 'WRITTEN_OFF')),
    pending         integer NOT NULL DEFAULT 0 CHECK (pending >= 0),
    registered_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    reported_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    reported_tick   bigint NOT NULL,            -- by the ledger's own clock
    oldest_tick     bigint,                     -- since when it waits for the ledger; null: it waits for nothing
    ended_at        timestamptz,
    reason          text NOT NULL DEFAULT ''    -- why it was written off
);

CREATE INDEX quotas_spool_open ON quotas_spool (reported_at) WHERE state = 'OPEN';

CREATE TABLE quotas_dead_event (
    id          uuid PRIMARY KEY,
    shard       smallint NOT NULL,
    journal     text NOT NULL,
    entry       text NOT NULL,
    account_id  uuid,                           -- null: it could not even be read
    fields      jsonb NOT NULL,                 -- the entry as it was, each byte string in base64
    error       text NOT NULL,
    tries       smallint NOT NULL,
    state       text NOT NULL DEFAULT 'PARKED' CHECK (state IN ('PARKED', 'REPLAYED', 'DISCARDED')),
    parked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at  timestamptz,
    reason      text NOT NULL DEFAULT '',
    CONSTRAINT quotas_dead_event_once UNIQUE (journal, entry)
);

CREATE INDEX quotas_dead_event_parked ON quotas_dead_event (parked_at) WHERE state = 'PARKED';

CREATE TABLE quotas_control (
    id              smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    ledger          uuid NOT NULL DEFAULT gen_random_uuid(),    -- which ledger this is, wherever it is served
    generation      integer NOT NULL DEFAULT 1, -- raised after a restore: what Valkey had before is void
    closing_frozen  boolean NOT NULL DEFAULT false,
    frozen_because  text NOT NULL DEFAULT '',
    tick            bigint NOT NULL DEFAULT 0   -- ms that lease upkeep has been alive: a clock that cannot jump
) WITH (fillfactor = 50);
INSERT INTO quotas_control DEFAULT VALUES;

-- Posting, as before and with the day's spending.
CREATE OR REPLACE FUNCTION quotas_post_transfers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    posted bigint;
BEGIN
    UPDATE public.quotas_account AS account SET
        granted   = account.granted   + moved.granted,
        pending   = account.pending   + moved.pending,
        available = account.available + moved.available,
        leased    = account.leased    + moved.leased,
        held      = account.held      + moved.held,
        spent     = account.spent     + moved.spent,
        expired   = account.expired   + moved.expired,
        refunded  = account.refunded  + moved.refunded,
        absorbed  = account.absorbed  + moved.absorbed,
        spent_on_day = CASE
            WHEN moved.spent = 0 THEN account.spent_on_day
            WHEN account.spent_day = present.day THEN greatest(0, account.spent_on_day + moved.spent)
            ELSE greatest(0, moved.spent)
        END,
        spent_day = CASE WHEN moved.spent = 0 THEN account.spent_day ELSE present.day END
    FROM (
        SELECT account_id,
            sum(amount * ((debit  = 'issuer')::int)) AS granted,
            sum(amount * ((credit = 'pending')::int   - (debit = 'pending')::int))   AS pending,
            sum(amount * ((credit = 'available')::int - (debit = 'available')::int)) AS available,
            sum(amount * ((credit = 'leased')::int    - (debit = 'leased')::int))    AS leased,
            sum(amount * ((credit = 'held')::int      - (debit = 'held')::int))      AS held,
            sum(amount * ((credit = 'spent')::int     - (debit = 'spent')::int))     AS spent,
            sum(amount * ((credit = 'expired')::int   - (debit = 'expired')::int))   AS expired,
            sum(amount * ((credit = 'refunded')::int  - (debit = 'refunded')::int))  AS refunded,
            sum(amount * ((credit = 'absorbed')::int  - (debit = 'absorbed')::int))  AS absorbed
        FROM inserted GROUP BY account_id
    ) AS moved, (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day) AS present
    WHERE account.id = moved.account_id;
    GET DIAGNOSTICS posted = ROW_COUNT;
    IF posted <> (SELECT count(DISTINCT account_id) FROM inserted) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a transfer names an account that does not exist';
    END IF;
    RETURN NULL;
END
$$;

-- Posting to lots, with the owner's rights like the other.
CREATE FUNCTION quotas_post_lots() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wanted numeric;
    moved numeric;
BEGIN
    IF EXISTS (SELECT FROM inserted WHERE credit = 'available' AND debit IN ('issuer', 'pending')) THEN
        INSERT INTO public.quotas_lot AS lot (account_id, id, tokens, remaining)
        SELECT account_id, ref, sum(amount), sum(amount) FROM inserted
        WHERE credit = 'available' AND debit IN ('issuer', 'pending') GROUP BY account_id, ref
        ON CONFLICT (account_id, id) DO UPDATE
        SET tokens = lot.tokens + excluded.tokens, remaining = lot.remaining + excluded.remaining;
    END IF;
    IF NOT EXISTS (SELECT FROM inserted WHERE 'spent' IN (debit, credit) OR credit IN ('expired', 'refunded')) THEN
        RETURN NULL;
    END IF;

    -- Taken from what expires first; what is refunded, from what would last longest.
    WITH gone AS (
        SELECT account_id, credit = 'refunded' AS refunded,
               sum(CASE WHEN credit IN ('spent', 'expired', 'refunded') THEN amount ELSE -amount END) AS tokens
        FROM inserted WHERE 'spent' IN (debit, credit) OR credit IN ('expired', 'refunded')
        GROUP BY account_id, credit = 'refunded'
    ), place AS (
        SELECT lot.account_id, lot.id, lot.remaining, gone.tokens,
               sum(lot.remaining) OVER (
                   PARTITION BY lot.account_id, gone.refunded
                   ORDER BY CASE WHEN NOT gone.refunded THEN lot.expires_at END,
                            CASE WHEN gone.refunded THEN coalesce(lot.expires_at, 'infinity') END DESC, lot.id
               ) AS upto
        FROM gone JOIN public.quotas_lot AS lot ON lot.account_id = gone.account_id AND lot.open
        WHERE gone.tokens > 0
    ), taken AS (
        UPDATE public.quotas_lot AS lot SET remaining = lot.remaining - least(place.remaining, place.tokens - place.upto + place.remaining)
        FROM place
        WHERE lot.account_id = place.account_id AND lot.id = place.id AND place.upto - place.remaining < place.tokens
        RETURNING least(place.remaining, place.tokens - place.upto + place.remaining) AS tokens
    )
    SELECT (SELECT coalesce(sum(tokens), 0) FROM gone WHERE tokens > 0), (SELECT coalesce(sum(tokens), 0) FROM taken)
    INTO wanted, moved;
    IF wanted <> moved THEN
        RAISE check_violation USING MESSAGE = format('lots cover %s of %s tokens', moved, wanted);
    END IF;

    -- Given back to what was taken from last.
    IF EXISTS (SELECT FROM inserted WHERE debit = 'spent') THEN
        WITH back AS (
            SELECT account_id, sum(CASE WHEN debit = 'spent' THEN amount ELSE -amount END) AS tokens
            FROM inserted WHERE 'spent' IN (debit, credit) OR credit = 'expired'
            GROUP BY account_id
        ), place AS (
            SELECT lot.account_id, lot.id, lot.tokens - lot.remaining AS room, back.tokens,
                   sum(lot.tokens - lot.remaining) OVER (
                       PARTITION BY lot.account_id ORDER BY lot.expires_at DESC NULLS FIRST, lot.id DESC
                   ) AS upto
            FROM back JOIN public.quotas_lot AS lot ON lot.account_id = back.account_id AND lot.remaining < lot.tokens
            WHERE back.tokens > 0
        ), given AS (
            UPDATE public.quotas_lot AS lot SET remaining = lot.remaining + least(place.room, place.tokens - place.upto + place.room)
            FROM place
            WHERE lot.account_id = place.account_id AND lot.id = place.id AND place.upto - place.room < place.tokens
            RETURNING least(place.room, place.tokens - place.upto + place.room) AS tokens
        )
        SELECT (SELECT coalesce(sum(tokens), 0) FROM back WHERE tokens > 0), (SELECT coalesce(sum(tokens), 0) FROM given)
        INTO wanted, moved;
        IF wanted <> moved THEN
            RAISE check_violation USING MESSAGE = format('lots take back %s of %s tokens', moved, wanted);
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- Triggers of one table run in the order of their names: balances first, because that locks the account.
CREATE TRIGGER quotas_transfer_post_lots AFTER INSERT ON quotas_transfer
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_post_lots();

CREATE TRIGGER quotas_lot_opens_empty BEFORE INSERT ON quotas_lot
    FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND (NEW.tokens <> 0 OR NEW.remaining <> 0))
    EXECUTE FUNCTION quotas_refuse('a lot opens empty');
CREATE TRIGGER quotas_lot_by_transfers BEFORE UPDATE ON quotas_lot
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION quotas_refuse('lots change by transfers only');
CREATE TRIGGER quotas_lot_kept BEFORE DELETE OR TRUNCATE ON quotas_lot
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('lots are kept, because the ledger refers to them');
CREATE TRIGGER quotas_lease_kept BEFORE DELETE OR TRUNCATE ON quotas_lease
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('leases are kept, because the ledger refers to them');
CREATE TRIGGER quotas_lease_part_kept BEFORE DELETE OR TRUNCATE ON quotas_lease_part
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('leases are kept, because the ledger refers to them');

DROP TRIGGER quotas_account_by_transfers ON quotas_account;
CREATE TRIGGER quotas_account_by_transfers BEFORE UPDATE OF
    id, payer_kind, payer_id, provider, spent_day, spent_on_day,
    granted, pending, available, leased, held, spent, expired, refunded, absorbed ON quotas_account
    FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION quotas_refuse('balances change by transfers only');

-- Who sees what.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['quotas_lot', 'quotas_lease', 'quotas_lease_part', 'quotas_budget_lease'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant ON %1$I USING (leaky_sees_all() OR EXISTS '
            '(SELECT FROM quotas_account WHERE quotas_account.id = %1$I.account_id))', name
        );
    END LOOP;
    FOREACH name IN ARRAY ARRAY['quotas_spool', 'quotas_dead_event'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I USING (leaky_sees_all())', name);
    END LOOP;
END
$$;

-- The application's privileges: what its statements need.
DO $$
DECLARE
    application name := current_setting('leaky.application_role');
BEGIN
    IF application = current_user OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = application) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'REVOKE ALL ON quotas_lot, quotas_lease, quotas_lease_part, quotas_budget_lease, quotas_spool, '
        'quotas_dead_event, quotas_control FROM %I', application
    );
    EXECUTE format(
        'GRANT SELECT ON quotas_lot, quotas_lease, quotas_lease_part, quotas_budget_lease, quotas_spool, '
        'quotas_dead_event, quotas_control TO %I', application
    );
    EXECUTE format('GRANT UPDATE (epoch) ON quotas_account TO %I', application);
    EXECUTE format('GRANT UPDATE (leased) ON quotas_budget TO %I', application);
    EXECUTE format('GRANT INSERT (account_id, id, kind, expires_at) ON quotas_lot TO %I', application);
    EXECUTE format('GRANT INSERT ON quotas_lease, quotas_lease_part, quotas_budget_lease TO %I', application);
    EXECUTE format(
        'GRANT UPDATE (granted, settled, returned, state, doubt, run_id, used_at, expires_at, expires_tick, doubted_at, '
        'closed_at, journal, entry) ON quotas_lease TO %I', application
    );
    EXECUTE format('GRANT UPDATE (applied) ON quotas_lease_part TO %I', application);
    EXECUTE format('GRANT UPDATE (granted, settled, returned, returned_by) ON quotas_budget_lease TO %I', application);
    EXECUTE format('GRANT INSERT, UPDATE ON quotas_spool, quotas_dead_event TO %I', application);
    EXECUTE format('GRANT UPDATE (generation, closing_frozen, frozen_because, tick) ON quotas_control TO %I', application);
END
$$;
