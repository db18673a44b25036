"""The gateway's own settings, read once at import."""

from apps.core import environment

HOST = environment.text("GATEWAY_HOST", "127.0.0.1", "Address on which the gateway listens.")
PORT = environment.integer("GATEWAY_PORT", 8080, "Port on which the gateway listens.", minimum=1, maximum=65535)
ALLOWED_HOSTS = frozenset(
    environment.words(
        "GATEWAY_ALLOWED_HOSTS", "", "Host names that are answered, without port. Empty: any well-formed."
    )
)
BODY_LIMIT = environment.integer(
    "GATEWAY_BODY_LIMIT_BYTES", 10 * 1024 * 1024, "Largest request body.", minimum=1024, maximum=256 * 1024 * 1024
)
HEADER_LIMIT = environment.integer(
    "GATEWAY_HEADER_LIMIT_BYTES", 64 * 1024, "Largest request head.", minimum=4096, maximum=1024 * 1024
)
HEADER_COUNT_LIMIT = environment.integer(
    "GATEWAY_HEADER_COUNT_LIMIT", 200, "Most header lines of a request.", minimum=20, maximum=2000
)
BODY_SECONDS = environment.number(
    "GATEWAY_BODY_SECONDS",
    30,
    "Time in which a request's body must have arrived (408 after it).",
    minimum=1,
    maximum=600,
)
CALL_SECONDS = environment.number(
    "GATEWAY_CALL_SECONDS",
    900,
    "Longest life of a call, streams included; no upstream outlives it.",
    minimum=1,
    maximum=3600,
)
STALL_SECONDS = environment.number(
    "GATEWAY_STALL_SECONDS",
    60,
    "How long a client may leave a stream unread before it is cut.",
    minimum=1,
    maximum=3600,
)
DRAIN_SECONDS = environment.number(
    "GATEWAY_DRAIN_SECONDS", 60, "How long a stop waits for calls and settlements under way.", minimum=0, maximum=3600
)
QUOTA_BACKEND = environment.choice(
    "QUOTA_BACKEND",
    "leases",
    "Where calls are held: in Valkey, from leases; or in PostgreSQL, by a row lock each (slow, for emergencies).",
    options=("leases", "postgres"),
)
LEASE_WAIT_SECONDS = environment.number(
    "GATEWAY_LEASE_WAIT_SECONDS",
    3,
    "How long a call whose account has no lease may wait for one (503 after it).",
    minimum=0.1,
    maximum=60,
)
LEASE_BURN_SECONDS = environment.integer(
    "GATEWAY_LEASE_BURN_SECONDS",
    600,
    "For how long a lease should last at the rate of the last minute; at most a tenth of what the account has. It is "
    "topped up at half, so an account is served for half as long while PostgreSQL is away.",
    minimum=10,
    maximum=3600,
)
SPOOL_DIR = environment.text(
    "GATEWAY_SPOOL_DIR",
    "",
    "Directory on a local disk in which gateways keep what the ledger has not yet; those of one ledger may share it. "
    "Empty: leaky-spool in the system's directory for temporary files.",
)
JOURNAL_LIMIT = environment.integer(
    "GATEWAY_JOURNAL_LIMIT",
    15_625,
    "Entries that may wait in a shard's journal for the ledger before calls of its accounts are refused (503).",
    minimum=100,
    maximum=10_000_000,
)
SPOOL_RESEND_SECONDS = environment.number(
    "GATEWAY_SPOOL_RESEND_SECONDS",
    15,
    "What the ledger has not after this time is settled again.",
    minimum=0.2,
    maximum=600,
)
HOLD_SECONDS = environment.number(
    "GATEWAY_HOLD_SECONDS",
    60,
    "Life of a hold in PostgreSQL between renewals; a dead gateway's holds end after it.",
    minimum=0.2,
    maximum=3600,
)
RENEW_SECONDS = environment.number(
    "GATEWAY_RENEW_SECONDS",
    10,
    "Interval at which live holds are renewed with their progress; also, at most, until calls of a dead key are cut.",
    minimum=0.1,
    maximum=600,
)
POLL_SECONDS = environment.number(
    "GATEWAY_POLL_SECONDS",
    0.5,
    "How often the versions of the configuration are polled, behind the push.",
    minimum=0.05,
    maximum=60,
)
DATABASE_THREADS = environment.integer(
    "GATEWAY_DATABASE_THREADS",
    8,
    "Threads, each with one connection, for what needs PostgreSQL.",
    minimum=1,
    maximum=100,
)
DATABASE_SECONDS = environment.number(
    "GATEWAY_DATABASE_SECONDS",
    10,
    "How long PostgreSQL may take, waiting for a thread included, before a call is refused with 503.",
    minimum=0.5,
    maximum=600,
)
CREDENTIAL_CACHE_SIZE = environment.integer(
    "GATEWAY_CREDENTIAL_CACHE_SIZE", 100_000, "Credentials kept in memory.", minimum=100, maximum=10_000_000
)
CREDENTIAL_OUTAGE_SECONDS = environment.number(
    "GATEWAY_CREDENTIAL_OUTAGE_SECONDS",
    600,
    "How long credentials seen before are believed while PostgreSQL does not answer (503 after it).",
    minimum=1,
    maximum=86_400,
)
LAST_USED_SECONDS = environment.number(
    "GATEWAY_LAST_USED_SECONDS",
    10,
    "How often the times of last use of API keys are written.",
    minimum=0.1,
    maximum=600,
)
VALKEY_TIMEOUT_SECONDS = environment.number(
    "GATEWAY_VALKEY_TIMEOUT_SECONDS",
    0.25,
    "How long Valkey may take before a call is refused with 503.",
    minimum=0.01,
    maximum=10,
)
TRUSTED_PROXIES = environment.words(
    "GATEWAY_TRUSTED_PROXIES",
    "",
    "Networks of our own proxies, whose X-Forwarded-For is believed. Empty: a client's address is its connection's.",
)
CORS_ORIGINS = environment.words(
    "LEAKY_CORS_ORIGINS",
    "",
    "Origins whose pages may call the API from a browser: https://app.example.com, comma-separated, or * for all.",
)
INTERNAL_KEY = environment.text(
    "GATEWAY_INTERNAL_KEY",
    "",
    "Private key with which the gateway vouches for a caller to the services: base64 of 32 bytes (Ed25519).",
    secret=True,
)
SERVICES = environment.words(
    "GATEWAY_SERVICES",
    "auth=http://127.0.0.1:8081,token=http://127.0.0.1:8082,analytics=http://127.0.0.1:8083",
    "Where the services are: name=URL, comma-separated, for auth, token and analytics.",
)
SERVICE_BODY_LIMIT = environment.integer(
    "GATEWAY_SERVICE_BODY_LIMIT_BYTES",
    1024 * 1024,
    "Largest body of a request that is passed on to a service.",
    minimum=1024,
    maximum=64 * 1024 * 1024,
)
SERVICE_SECONDS = environment.number(
    "GATEWAY_SERVICE_SECONDS",
    15,
    "How long a service may take to begin its answer, and between two pieces of it (504 after it).",
    minimum=0.1,
    maximum=600,
)
SERVICE_CONNECT_SECONDS = environment.number(
    "GATEWAY_SERVICE_CONNECT_SECONDS", 2, "How long connecting to a service may take (503).", minimum=0.1, maximum=60
)
METRICS_NETWORKS = environment.words(
    "GATEWAY_METRICS_NETWORKS", "127.0.0.0/8,::1/128", "Networks from which /metrics answers; 404 to all others."
)
UPSTREAM_CONNECTIONS = environment.integer(
    "GATEWAY_UPSTREAM_CONNECTIONS", 4096, "Most connections to one upstream.", minimum=1, maximum=65_000
)
UPSTREAM_IDLE_CONNECTIONS = environment.integer(
    "GATEWAY_UPSTREAM_IDLE_CONNECTIONS", 256, "Most idle connections kept to one upstream.", minimum=0, maximum=65_000
)
UPSTREAM_IDLE_SECONDS = environment.number(
    "GATEWAY_UPSTREAM_IDLE_SECONDS", 30, "How long an idle connection is kept.", minimum=0.1, maximum=3600
)
UPSTREAM_CLIENT = environment.choice(
    "GATEWAY_UPSTREAM_CLIENT", "http1", "HTTP client towards providers.", options=("http1", "aiohttp")
)
