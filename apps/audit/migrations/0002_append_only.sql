-- The trail only grows. The application may add and read; nobody, the owner included, changes or removes.
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

DO $$
DECLARE
    application name := current_setting('leaky.application_role');
BEGIN
    IF application <> current_user AND EXISTS (SELECT FROM pg_roles WHERE rolname = application) THEN
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry FROM %I', application);
    END IF;
END
$$;
