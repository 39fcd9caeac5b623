"""A device's configuration with every key; tests hold it against the reader of the file format."""

from typing import Final

EXAMPLE: Final = """\
# A device's configuration. Keys that are left out have the values shown here; unknown keys are errors.
# Check it with: waspi config check FILE

[device]
# id = "pi-7"                     # a-z, 0-9 and -; by default the host's name
fleet = "default"                 # topics lie below waspi/v1/<fleet>
groups = []                       # groups whose jobs this device takes, for example ["kitchen"]
# state_dir = "/var/lib/waspi"    # journal and modules; by default systemd's StateDirectory
log_level = "info"                # debug, info, warning, error
trace = false                     # begin each log with pointers, sizes and addresses; for authors of guests

[device.labels]                   # free texts, reported as they are
# site = "Bern"

[broker]
url = "mqtt://127.0.0.1:1883"     # mqtts://host:8883 for TLS
# username = "pi-7"
# password_file = "broker.password"  # relative to this file; systemd's LoadCredential= is found too
keepalive_s = 60
receive_maximum = 32              # messages that the broker may have open toward this device
window = 64                       # publishes in flight, never above the broker's own maximum
max_packet_kib = 8192
will_delay_s = 10                 # how long the broker waits before it says offline
session_expiry_s = 604800         # how long the broker keeps jobs for a device that is away

[broker.tls]                      # only with mqtts://
# ca = "ca.crt"                   # by default the system's certificates
# certificate = "pi-7.crt"        # both for mTLS
# key = "pi-7.key"

[policy]
jobs = "any"                      # "signed": only jobs that a key below has signed
inline_modules = "allow"          # "signed", "deny"
open_modules = []                 # modules that the plain topic may run although jobs = "signed"
reply_prefixes = ["reply/"]       # where answers may go besides the fleet's own topics
require = []                      # refuse to start without: "seccomp", "landlock", "no_new_privs", "rlimits"

# [[policy.keys]]                 # as waspi keys new and waspi keys show print it
# id = "ops"
# public_key = "<32 bytes in base64>"
# groups = ["kitchen"]            # may address only these groups
# modules = ["append"]            # may run only these modules
# roles = ["run"]                 # "inline": may bring its own modules

[limits]                          # of one run; a job may ask for less, never for more
fuel = 10000000000                # Wasm operators
memory_mib = 64
time_ms = 10000
output_kib = 4096
log_kib = 64

[queue]
workers = 0                       # worker processes at once; 0: one for each core
idle_s = 30.0                     # a worker without work leaves after this
max_jobs = 20000
max_mib = 64
input_kib = 4096                  # largest input of a job

[budget]                          # of all jobs together; a spent budget delays jobs, 0 is no bound
run_ms_per_minute = 0             # time inside guests; 60000 is one core
memory_mib = 0                    # sum of the memory limits of what runs at once

[journal]
sync = "full"                     # "off": faster, but a power cut may take the last jobs
outbox_mib = 64                   # results that wait for the broker
retention_h = 168                 # how long a finished job is remembered, to answer duplicates
max_jobs = 100000

[cache]
max_mib = 256                     # modules and their compiled artifacts

[status]
report = "slow"                   # state changes that are told: "all", "slow", "none"
slow_after_ms = 500

# [updates]                       # with this table, the device takes modules that its groups' deployments name
# root = "1.root.json"            # the repository's first root metadata: trust begins there
# url = "https://updates.example" # of the repository; left out: from the depots on MQTT (waspi depot)
# ca = "web-ca.crt"               # the authority of that server; left out: those that the system trusts
# interval_s = 3600               # between two looks, when no depot announces anything
# spread_s = 10                   # an announcement is followed after so long at most, by chance
# range_kib = 64                  # asked for at once; less on links where that takes seconds
# window = 8                      # ranges asked for at once
# trial_jobs = 20                 # a release is on trial until so many jobs have ended well ...
# trial_s = 3600                  # ... or for so long,
# trial_failures = 3              # and is rolled back when so many fail through its fault

# [modules.append]                # a module that lies on this device; topic .../run/append runs it
# path = "/usr/share/waspi/append.wasm"
# version = "1.0.0"
# abi = "append.toml"
"""
