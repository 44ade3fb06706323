"""The store on Amazon DynamoDB."""

from cloudq.stores.dynamodb.store import DynamoStore

__all__ = ["DynamoStore"]
