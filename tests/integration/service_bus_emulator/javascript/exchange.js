// Sends a CloudEvent that names a task, then receives one event from each of the other queues and prints it.
"use strict";
const { ServiceBusClient } = require("@azure/service-bus");

const [connectionString, to, ordered, from, fromOrdered] = process.argv.slice(2);
const client = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0 } });

const event = (id, number) => ({
  specversion: "1.0", id, source: "/shop/node", type: "shop.pack", datacontenttype: "application/json", data: { number },
});

(async () => {
  await client.createSender(to).sendMessages({ body: event("n-1", 1), contentType: "application/cloudevents+json" });
  await client.createSender(ordered).sendMessages({ body: event("n-2", 2), sessionId: "customer-7" });
  for (const receiver of [client.createReceiver(from), await client.acceptNextSession(fromOrdered)]) {
    const [got] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10000 });
    console.log(JSON.stringify({ body: got.body, contentType: got.contentType, sessionId: got.sessionId }));
    await receiver.completeMessage(got);
  }
  await client.close();
})();
