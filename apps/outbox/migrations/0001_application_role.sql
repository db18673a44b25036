-- What the application's role may do with ordinary tables, those that exist and those that later migrations make.
--
-- Two roles: the owner, who runs this, migrates; the application reads and writes rows and changes no structure. Tables
-- that must not be rewritten take privileges away again in their own migrations (the ledger does), which therefore
-- depend on this one. On a server with one role for everything there is nobody to grant to, and nothing is done here.
DO $$
DECLARE
    application name := current_setting('leaky.application_role');
BEGIN
    IF application = current_user OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = application) THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', application);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', application);
    EXECUTE format('GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO %I', application);
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', application
    );
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, USAGE ON SEQUENCES TO %I', application);
    -- What has been migrated is the owner's to write.
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM %I', application);
END
$$;
