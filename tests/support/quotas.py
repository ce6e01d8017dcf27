"""Quotas of clients, set and described by an Asker."""

from .protocol import ERRORS


def entity(**parts):
    """user="u", client_id=None: a default."""
    return [{"EntityType": kind.replace("_", "-"), "EntityName": name} for kind, name in parts.items()]


def alter(asker, parts, version=1, validate_only=False, **quotas):
    """Sets quotas, or with None removes them: (error, message)."""
    ops = [{"Key": key, "Value": value or 0, "Remove": value is None} for key, value in quotas.items()]
    entry, = asker.ask("AlterClientQuotas", version, ValidateOnly=validate_only, Entries=[{"Entity": parts, "Ops": ops}])["Entries"]
    return ERRORS[entry["ErrorCode"]], entry["ErrorMessage"]


def described(asker, *components, strict=False, version=1):
    """{(type, name)...: {quota: value}}"""
    answer = asker.ask("DescribeClientQuotas", version, Strict=strict, Components=[
        {"EntityType": kind, "MatchType": how, "Match": name} for kind, how, name in components])
    return {tuple((part["EntityType"], part["EntityName"]) for part in each["Entity"]): {v["Key"]: v["Value"] for v in each["Values"]}
            for each in answer["Entries"]}
