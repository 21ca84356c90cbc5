"""Invokes functions with boto3, as any program of others would, and prints what came back as one JSON object.

Takes the address of an Invoke API. Only boto3's own interface is used: no headers, no URLs.
"""

import json
import sys
from pathlib import Path

import boto3
from botocore.config import Config

EVENTS = Path(__file__).resolve().parents[2] / "events"
SETTINGS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "any",
    "aws_secret_access_key": "any",
    "config": Config(retries={"max_attempts": 0}, proxies={}, read_timeout=120),
}


def invoke(client, **arguments):
    answer = client.invoke(**arguments)
    payload = answer["Payload"].read()
    return {
        "status": answer["StatusCode"],
        "function_error": answer.get("FunctionError"),
        "version": answer.get("ExecutedVersion"),
        "payload": json.loads(payload) if payload else None,
    }


def refusal(client, **arguments):
    """The error's code and message; it must be one of those that boto3 has a class for."""
    try:
        client.invoke(**arguments)
    except client.exceptions.ResourceNotFoundException as error:
        return error.response["Error"]
    return None


def main(endpoint):
    client = boto3.client("lambda", endpoint_url=endpoint, **SETTINGS)
    latest = (EVENTS / "api-latest.json").read_bytes()
    batch = (EVENTS / "averager-batch.json").read_bytes()
    print(
        json.dumps(
            {
                "synchronous": invoke(client, FunctionName="api", Payload=latest),
                "failed": invoke(client, FunctionName="averager", Payload=b'{"records": 1}'),
                "dry_run": invoke(client, FunctionName="averager", InvocationType="DryRun", Payload=b"{}"),
                "event": invoke(client, FunctionName="averager", InvocationType="Event", Payload=batch),
                "unknown": refusal(client, FunctionName="no-such-function", Payload=b"{}"),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
