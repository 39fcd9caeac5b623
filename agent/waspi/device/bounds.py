"""The bounds that a configuration sets: to what is admitted, and to what is kept."""

from __future__ import annotations

from waspi.device.settings import Config
from waspi.journal.quotas import Quotas
from waspi.protocol.policy import InputLimits, Policy
from waspi.protocol.response_topic import ResponseTopics
from waspi.protocol.topics import Topics


def policy_of(config: Config, topics: Topics) -> Policy:
    """Who may send this device what."""
    return Policy(
        topics=topics,
        device=config.id,
        replies=ResponseTopics(topics, config.id, config.policy.reply_prefixes),
        groups=frozenset(config.groups),
        jobs=config.policy.jobs,
        inline=config.policy.inline_modules,
        open_modules=frozenset(config.policy.open_modules),
        keys={key.kid: key for key in config.policy.keys},
        limits=InputLimits(
            message_bytes=config.broker.max_packet_bytes,
            input_bytes=config.queue.input_bytes,
            module_bytes=config.broker.max_packet_bytes,
        ),
    )


def quotas_of(config: Config) -> Quotas:
    """What the journal may take."""
    return Quotas(
        inbox_jobs=config.queue.max_jobs,
        inbox_bytes=config.queue.max_bytes,
        outbox_bytes=config.journal.outbox_bytes,
        jobs=config.journal.max_jobs,
        retention_s=config.journal.retention_s,
    )
