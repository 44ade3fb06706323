"""Prints AWS credentials for the Google service account that this runs as: what `credential_process` calls."""

import json
import os
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config

metadata = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
asked = urllib.request.Request(
    f"http://{metadata}/computeMetadata/v1/instance/service-accounts/default/identity"
    "?audience=sts.amazonaws.com&format=full",
    headers={"Metadata-Flavor": "Google"},
)
with urllib.request.urlopen(asked, timeout=5) as answer:
    token = answer.read().decode()

# Unsigned: the call needs no credentials, and looking for some would run this again.
sts = boto3.client(
    "sts",
    region_name=os.environ["AWS_REGION"],
    config=Config(signature_version=UNSIGNED, connect_timeout=5, read_timeout=5),
)
given = sts.assume_role_with_web_identity(
    RoleArn=os.environ["AWS_ROLE"], RoleSessionName="cloudq-worker", WebIdentityToken=token
)["Credentials"]
print(
    json.dumps(
        {
            "Version": 1,
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "SessionToken": given["SessionToken"],
            "Expiration": given["Expiration"].isoformat(),
        }
    )
)
