// Reads what cloudq sent by sqs-consumer, and sends to it by sqs-producer: node neighbours.mjs QUEUE_URL ENDPOINT COUNT
// Prints the n of each payload that it read, and leaves COUNT messages of the task "ok" behind.
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import { Producer } from "sqs-producer";

const [queueUrl, endpoint, count] = process.argv.slice(2);
const sqs = new SQSClient({ endpoint, region: "us-east-1", credentials: { accessKeyId: "x", secretAccessKey: "x" } });
const read = [];
await new Promise((resolve, reject) => {
  const consumer = Consumer.create({
    queueUrl,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 1,
    handleMessage: async (message) => {
      read.push(JSON.parse(message.Body).data.n);
      return message;
    },
  });
  consumer.on("error", reject);
  consumer.on("processing_error", reject);
  consumer.on("empty", () => consumer.stop());
  consumer.on("stopped", resolve);
  consumer.start();
});
const event = (n) => ({ specversion: "1.0", id: `node-${n}`, source: "node", type: "ok", data: { n } });
const messages = [...Array(Number(count)).keys()].map((n) => ({ id: `${n}`, body: JSON.stringify(event(n)) }));
await Producer.create({ queueUrl, sqs }).send(messages);
console.log(JSON.stringify(read.sort((one, other) => one - other)));
