-- The ledger: accounts, transfers, holds.
--
-- Rules that the database keeps, whoever writes:
--   * A transfer is a whole double entry (so many tokens from one balance to another) and is never changed or deleted.
--   * An account's balances change by transfers only, in the transaction that inserts them, by what was inserted.
--   * granted = pending + available + leased + held + spent + expired + refunded, and no balance is negative. A
--     transaction that would break this does not commit.
-- Every key starts with the account and nothing refers across accounts, so accounts can be split over servers.

CREATE TABLE quotas_account (
    id          uuid PRIMARY KEY,               -- derived from payer and provider, which therefore are unique with it
    payer_kind  text NOT NULL CHECK (payer_kind IN ('user', 'org')),
    payer_id    uuid NOT NULL,
    provider    text NOT NULL,
    suspended   boolean NOT NULL DEFAULT false,
    granted     bigint NOT NULL DEFAULT 0,      -- all that was ever given: what the issuer owes this account
    pending     bigint NOT NULL DEFAULT 0,      -- bought, not yet paid
    available   bigint NOT NULL DEFAULT 0,      -- free to be held
    leased      bigint NOT NULL DEFAULT 0,      -- lent to the quota store to spend
    held        bigint NOT NULL DEFAULT 0,      -- set aside for calls under way
    spent       bigint NOT NULL DEFAULT 0,
    expired     bigint NOT NULL DEFAULT 0,
    refunded    bigint NOT NULL DEFAULT 0,
    absorbed    bigint NOT NULL DEFAULT 0,      -- overruns that the house bore: beside the identity, never the payer's
    -- 9e15 is below 2^53, where doubles (Lua, JavaScript) stop counting by ones.
    CONSTRAINT quotas_account_bounds CHECK (
        granted BETWEEN 0 AND 9000000000000000 AND absorbed BETWEEN 0 AND 9000000000000000
        AND pending >= 0 AND available >= 0 AND leased >= 0 AND held >= 0
        AND spent >= 0 AND expired >= 0 AND refunded >= 0   -- each at most granted, by the identity
    ),
    CONSTRAINT quotas_account_identity CHECK (
        granted = pending + available + leased + held + spent + expired + refunded
    )
) WITH (fillfactor = 50);   -- the row is rewritten several times per call: room for new versions in its own page

CREATE INDEX quotas_account_payer ON quotas_account (payer_id, payer_kind);

CREATE TABLE quotas_hold (
    account_id  uuid NOT NULL,
    id          uuid NOT NULL,                  -- the reservation id that the caller sees
    amount      bigint NOT NULL CHECK (amount BETWEEN 1 AND 9000000000000000),
    status      text NOT NULL DEFAULT 'HELD' CHECK (status IN ('HELD', 'SETTLED', 'RELEASED', 'EXPIRED')),
    request_id  text NOT NULL,
    facts       jsonb NOT NULL,                 -- what is known of the call before it leaves, for its usage event
    progress    bigint NOT NULL DEFAULT 0 CHECK (progress >= 0),    -- tokens used so far, as last renewed
    charged     bigint NOT NULL DEFAULT 0 CHECK (charged >= 0),
    absorbed    bigint NOT NULL DEFAULT 0 CHECK (absorbed >= 0),
    taken_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (account_id, id),
    CONSTRAINT quotas_hold_end CHECK ((status = 'HELD') = (ended_at IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX quotas_hold_expiry ON quotas_hold (expires_at) WHERE status = 'HELD';
CREATE INDEX quotas_hold_id ON quotas_hold (id);                    -- the console: by reservation id, newest first
CREATE INDEX quotas_hold_request ON quotas_hold (request_id);       -- the console: by request id

CREATE TABLE quotas_transfer (
    account_id  uuid NOT NULL,
    id          uuid NOT NULL,
    code        text NOT NULL,
    debit       text NOT NULL,                  -- the balance that gives
    credit      text NOT NULL,                  -- the balance that gets
    amount      bigint NOT NULL CHECK (amount BETWEEN 1 AND 9000000000000000),
    ref         uuid NOT NULL,                  -- the hold or the grant that this is a part of
    reason      text NOT NULL DEFAULT '',
    actor       text NOT NULL DEFAULT '',
    request_id  text NOT NULL DEFAULT '',
    -- Not now(): transfers of an account are written under its lock, so the time of writing is in their order.
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, id),
    CONSTRAINT quotas_transfer_once UNIQUE (account_id, ref, code),
    -- Two system accounts have no column: the issuer gives what is granted, the house bears what is absorbed.
    CONSTRAINT quotas_transfer_kind CHECK ((code, debit, credit) IN (
        ('GRANT', 'issuer', 'available'),
        ('HOLD', 'available', 'held'),
        ('SETTLE', 'held', 'spent'),
        ('RELEASE', 'held', 'available'),
        ('OVERRUN', 'available', 'spent'),
        ('ABSORB', 'house', 'absorbed'),
        ('SETTLE_FIX', 'available', 'spent'),
        ('SETTLE_FIX', 'spent', 'available'),
        ('ABSORB_FIX', 'house', 'absorbed'),
        ('ABSORB_FIX', 'absorbed', 'house')
    ))
);

CREATE INDEX quotas_transfer_statement ON quotas_transfer (account_id, at DESC, id);
CREATE INDEX quotas_transfer_id ON quotas_transfer (id);            -- the console: newest first

-- Posting: after each INSERT statement, its transfers move the balances of their accounts. It runs with the owner's
-- rights, because the application has none on balances; the fixed search path keeps others' objects out of it.
CREATE FUNCTION quotas_post_transfers() RETURNS trigger
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
        absorbed  = account.absorbed  + moved.absorbed
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
    ) AS moved
    WHERE account.id = moved.account_id;
    GET DIAGNOSTICS posted = ROW_COUNT;
    IF posted <> (SELECT count(DISTINCT account_id) FROM inserted) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a transfer names an account that does not exist';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER quotas_transfer_post AFTER INSERT ON quotas_transfer
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_post_transfers();

-- Refusals for everybody, also the owner and on a server with a single role.
CREATE FUNCTION quotas_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('%s on %s: %s', TG_OP, TG_TABLE_NAME, TG_ARGV[0]);
END
$$;

CREATE TRIGGER quotas_transfer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quotas_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('the ledger is append-only');

CREATE TRIGGER quotas_account_kept BEFORE DELETE OR TRUNCATE ON quotas_account
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('accounts are kept, because the ledger refers to them');

-- Depth 0 is a statement of somebody's own; the posting above runs at depth 1.
CREATE TRIGGER quotas_account_opens_empty BEFORE INSERT ON quotas_account
    FOR EACH ROW WHEN (
        NEW.granted <> 0 OR NEW.pending <> 0 OR NEW.available <> 0 OR NEW.leased <> 0 OR NEW.held <> 0
        OR NEW.spent <> 0 OR NEW.expired <> 0 OR NEW.refunded <> 0 OR NEW.absorbed <> 0
    ) EXECUTE FUNCTION quotas_refuse('an account opens empty');

CREATE TRIGGER quotas_account_by_transfers BEFORE UPDATE OF
    id, payer_kind, payer_id, provider,
    granted, pending, available, leased, held, spent, expired, refunded, absorbed ON quotas_account
    FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION quotas_refuse('balances change by transfers only');

-- The application's privileges: less than it has on ordinary tables.
DO $$
DECLARE
    application name := current_setting('leaky.application_role');
BEGIN
    IF application = current_user OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = application) THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON quotas_account, quotas_transfer, quotas_hold FROM %I', application);
    EXECUTE format('GRANT SELECT ON quotas_account, quotas_transfer, quotas_hold TO %I', application);
    EXECUTE format('GRANT INSERT (id, payer_kind, payer_id, provider), UPDATE (suspended) ON quotas_account TO %I', application);
    EXECUTE format('GRANT INSERT ON quotas_transfer TO %I', application);
    EXECUTE format('GRANT INSERT, UPDATE ON quotas_hold TO %I', application);
END
$$;
