-- Row-level security: the second line behind the selectors. See apps/core/tenancy.py.
--
-- A connection of an API service sees, of the tables below, the rows of the user in `leaky.user` and of the
-- organisations that the user is a member of; without a user, none. Connections with `leaky.scope = all` (gateway,
-- workers, console, commands) see everything. What nobody has set shows nothing. The tables' owner is not bound.
CREATE FUNCTION leaky_sees_all() RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql AS
    $$ SELECT coalesce(current_setting('leaky.scope', true), '') = 'all' $$;

CREATE FUNCTION leaky_user() RETURNS uuid STABLE PARALLEL SAFE LANGUAGE sql AS
    $$ SELECT nullif(current_setting('leaky.user', true), '')::uuid $$;

-- As the owner: a policy of memberships that read memberships would call itself without end.
CREATE FUNCTION leaky_orgs() RETURNS SETOF uuid STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS
    $$ SELECT org_id FROM orgs_membership WHERE user_id = leaky_user() $$;

ALTER TABLE accounts_apikey ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts_apikey
    USING (leaky_sees_all() OR owner_id = leaky_user() OR org_id IN (SELECT leaky_orgs()));

ALTER TABLE orgs_organisation ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orgs_organisation
    USING (leaky_sees_all() OR id IN (SELECT leaky_orgs()));

ALTER TABLE orgs_membership ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orgs_membership
    USING (leaky_sees_all() OR user_id = leaky_user() OR org_id IN (SELECT leaky_orgs()));

ALTER TABLE orgs_invitation ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orgs_invitation
    USING (leaky_sees_all() OR org_id IN (SELECT leaky_orgs()));

ALTER TABLE orgs_tierassignment ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orgs_tierassignment
    USING (
        leaky_sees_all() OR (payer_kind = 'user' AND payer_id = leaky_user())
        OR (payer_kind = 'org' AND payer_id IN (SELECT leaky_orgs()))
    );

-- Everybody's changes are written; only one's own and one's organisations' are read.
ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_reads ON audit_entry FOR SELECT
    USING (leaky_sees_all() OR actor_id = leaky_user()::text OR org_id IN (SELECT leaky_orgs()));
CREATE POLICY anyone_writes ON audit_entry FOR INSERT WITH CHECK (true);
