#!/bin/sh
# Makes the queues that the examples use, each with its dead-letter queue: what `cloudq queues create` makes.
set -eu

make_queue() { # name suffix max-receives kind-of-queue
    awslocal sqs create-queue --queue-name "$1-dlq$2" --attributes "{$4\"MessageRetentionPeriod\": \"1209600\"}"
    arn="arn:aws:sqs:${AWS_DEFAULT_REGION:-us-east-1}:000000000000:$1-dlq$2"
    policy="{\\\"deadLetterTargetArn\\\": \\\"$arn\\\", \\\"maxReceiveCount\\\": $3}"
    awslocal sqs create-queue --queue-name "$1$2" --attributes \
        "{$4\"VisibilityTimeout\": \"120\", \"MessageRetentionPeriod\": \"1123200\", \"RedrivePolicy\": \"$policy\"}"
}

make_queue default "" 20 ""
make_queue orders .fifo 100 '"FifoQueue": "true", '
