"""What boto3 reads of what the AWS module applied, attribute by attribute."""

from __future__ import annotations

import json

import boto3
import pytest

RECEIVES = 11
VISIBLE = ("", "Delayed", "NotVisible")
# What moves, or is only told.
MOVING = {"CreatedTimestamp", "LastModifiedTimestamp", *(f"ApproximateNumberOfMessages{x}" for x in VISIBLE)}


def _attributes(client, url):
    """All attributes of a queue, but its counts and times; documents decoded."""
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {
        name: json.loads(value) if value.startswith("{") else value
        for name, value in found.items()
        if name not in MOVING
    }


def check_queues(client, outputs):
    """Every attribute of every queue is what the module was asked for."""
    assert outputs["cloudq_url"].startswith(
        "sqs://us-east-1?account=000000000000&prefix=prod-&scheduler_role=arn%3Aaws"
    )
    fast = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    slow = {"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
    ordered = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}
    assert set(outputs["queues"]) == {"emails", "orders.fifo"}
    for name, receives, visibility, kind, dead_kind in (
        ("emails", RECEIVES, "60", {}, {}),
        ("orders.fifo", 100, "120", ordered | fast, ordered | slow),
    ):
        queue = outputs["queues"][name]
        arn, dead_arn = queue["arn"], queue["dead_letter_arn"]
        assert _attributes(client, queue["url"]) == kind | _common(arn) | {
            "VisibilityTimeout": visibility,
            "MessageRetentionPeriod": "1123200",
            "RedrivePolicy": {"deadLetterTargetArn": dead_arn, "maxReceiveCount": receives},
        }
        assert _attributes(client, queue["dead_letter_url"]) == dead_kind | _common(dead_arn) | {
            "VisibilityTimeout": "30",
            "MessageRetentionPeriod": "1209600",
            "RedriveAllowPolicy": {"redrivePermission": "byQueue", "sourceQueueArns": [arn]},
        }


def _common(arn):
    refused = {
        "Sid": "RefusePlainHttp",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {
        "QueueArn": arn,
        "DelaySeconds": "0",
        "ReceiveMessageWaitTimeSeconds": "20",
        "MaximumMessageSize": "262144",
        "SqsManagedSseEnabled": "true",
        "Policy": {"Version": "2012-10-17", "Statement": [refused]},
    }


def check_rights(outputs):
    """The policies are the documents of the outputs; the scheduler's role trusts the scheduler, and may send."""
    iam = boto3.client("iam")
    policies = {one["PolicyName"]: one for one in iam.list_policies(Scope="Local")["Policies"]}
    assert set(policies) == {f"cloudq-{who}" for who in outputs["policy_documents"]}
    for who, document in outputs["policy_documents"].items():
        policy = policies[f"cloudq-{who}"]
        assert policy["Arn"] == outputs["policy_arns"][who]
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
        assert version["PolicyVersion"]["Document"] == json.loads(document)
    [role] = iam.list_roles()["Roles"]
    assert role["Arn"] == outputs["scheduler_role_arn"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}},
    }
    sends = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="send")["PolicyDocument"]["Statement"]
    assert [(one["Action"], len(one["Resource"])) for one in sends] == [("sqs:SendMessage", 4)]


def check_alarms(outputs):
    """There are three alarms a queue; those of one metric look at the queue that they are for."""
    alarms = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    expected = set()
    for queue in outputs["queues"].values():
        expected |= {
            (f"cloudq-{queue['name']}-dead-letters", queue["dead_letter_name"]),
            (f"cloudq-{queue['name']}-oldest-age", queue["name"]),
            (f"cloudq-{queue['name']}-unfinished-receives", None),
        }
    found = {(one["AlarmName"], one["Dimensions"][0]["Value"] if one.get("Dimensions") else None) for one in alarms}
    assert found == expected


def check_table(client, outputs):
    """The table has its key, TTL, backup and encryption, and refuses a key twice if the writer asks for that."""
    name = outputs["idempotency_table"]["name"]
    table = client.describe_table(TableName=name)["Table"]
    assert table["TableArn"] == outputs["idempotency_table"]["arn"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "id", "AttributeType": "S"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSEDescription"]["Status"] == "ENABLED"
    assert table["DeletionProtectionEnabled"] is False
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    put = {"TableName": name, "Item": {"id": {"S": "order-1"}}, "ConditionExpression": "attribute_not_exists(id)"}
    client.put_item(**put)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(**put)
