"""Amazon SQS, standard and FIFO queues. Needs the extra `cloudq[sqs]`."""

from cloudq.drivers.sqs.driver import SQSDriver

__all__ = ["SQSDriver"]
