"""A price that has started is history: the database refuses its change, its deletion, and a start in the past."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION providers_price_is_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.starts_at <= now() THEN
        RAISE EXCEPTION 'price % has started: it is history', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.starts_at < now() THEN
        RAISE EXCEPTION 'a price cannot start in the past' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION providers_price_is_not_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'prices are history: they are not emptied' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER providers_price_history BEFORE INSERT OR UPDATE OR DELETE ON providers_price
    FOR EACH ROW EXECUTE FUNCTION providers_price_is_history();
CREATE TRIGGER providers_price_kept BEFORE TRUNCATE ON providers_price
    FOR EACH STATEMENT EXECUTE FUNCTION providers_price_is_not_emptied();
"""

BACKWARDS = """
DROP TRIGGER providers_price_kept ON providers_price;
DROP TRIGGER providers_price_history ON providers_price;
DROP FUNCTION providers_price_is_not_emptied();
DROP FUNCTION providers_price_is_history();
"""


class Migration(migrations.Migration):
    dependencies = [("providers", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
