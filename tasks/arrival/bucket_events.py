"""A queue with the events of a bucket, so that the bucket is not listed all the time."""

import re
from typing import Any

from tasks.workspace.aws import client
from tasks.workspace.errors import DataError, StoreError

REGION = re.compile(r"https?://(?:sqs\.|queue\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.")
AT_ONCE = 10  # messages, SQS's limit


class BucketEvents:
    """An SQS queue that gets the events of one or more buckets.

    It says when to list, never what the bucket holds. So a message that is lost, repeated or about
    another prefix does no harm. Several sources may share one queue.
    """

    def __init__(self, queue: str) -> None:
        if not queue.startswith(("https://", "http://")):
            raise DataError(f"'{queue}' is not a queue URL; give its URL, https://sqs.REGION....")
        self.queue = queue
        self._count = 0
        self._sqs: Any = None

    def count(self) -> int:
        """How many times events came so far; one more if some came since the last call."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._sqs = self._sqs or _client(self.queue)
            answer = self._sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=AT_ONCE)
            if found := answer.get("Messages"):
                self._count += 1
                read = [
                    {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]}
                    for number, one in enumerate(found)
                ]
                self._sqs.delete_message_batch(QueueUrl=self.queue, Entries=read)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise StoreError(f"the queue {self.queue} cannot be read: {error}") from error
        return self._count


def _client(queue: str) -> Any:
    """A client for the region in the queue's address, or for the region of the environment."""
    found = REGION.match(queue)
    return client("sqs", region=found[1] if found else None)
