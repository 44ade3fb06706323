// What @azure/service-bus, which shares no code with azure-servicebus for Python, does with the emulator.
// Prints one line of JSON a scenario: [name, null or what went wrong].
"use strict";
const assert = require("node:assert/strict");
const { ServiceBusClient } = require("@azure/service-bus");

const [connectionString, queue, sessionQueue, topic] = process.argv.slice(2);
const client = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0 } });
const WAIT = { maxWaitTimeInMs: 5000 };
let numbers = 0;

const message = (body, more = {}) => ({ body, messageId: `m${++numbers}`, ...more });
const rejects = (promise, code) => assert.rejects(promise, (error) => error.code === code || assert.fail(error));

async function take(receiver, count = 1) {
  const got = [];
  while (got.length < count) {
    const more = await receiver.receiveMessages(count - got.length, WAIT);
    assert.ok(more.length, `${got.length} of ${count} messages came`);
    got.push(...more);
  }
  return count === 1 ? got[0] : got;
}

const scenarios = {
  async "send, receive, complete"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    await sender.sendMessages(message("a", {
      subject: "s", correlationId: "c", timeToLive: 60000, applicationProperties: { text: "t", number: 5, flag: true },
    }));
    const got = await take(receiver);
    assert.deepEqual(["a", "s", "c", 60000, 0, "active"],
      [got.body, got.subject, got.correlationId, got.timeToLive, got.deliveryCount, got.state]);
    assert.deepEqual({ text: "t", number: 5, flag: true }, got.applicationProperties);
    assert.ok(got.lockedUntilUtc > new Date() && got.enqueuedTimeUtc <= new Date(Date.now() + 1000));
    const until = await receiver.renewMessageLock(got);
    assert.ok(until >= got.lockedUntilUtc);
    await receiver.completeMessage(got);
    assert.deepEqual([], await receiver.peekMessages(1));
  },
  async "batches"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    const batch = await sender.createMessageBatch();
    for (let n = 0; n < 20; n++) assert.ok(batch.tryAddMessage(message(n)));
    assert.ok(!batch.tryAddMessage(message("x".repeat(262144))));
    await sender.sendMessages(batch);
    const got = await take(receiver, 20);
    assert.deepEqual([...Array(20).keys()], got.map((m) => m.body));
    await Promise.all(got.map((m) => receiver.completeMessage(m)));
  },
  async "large messages"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    const body = Buffer.alloc(200000, "0123456789");
    await sender.sendMessages(message(body));
    const got = await take(receiver);
    assert.ok(body.equals(got.body));
    await receiver.completeMessage(got);
    await rejects(sender.sendMessages(message("x".repeat(262144))), "MessageSizeExceeded");
  },
  async "abandon, dead-letter"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    await sender.sendMessages(message("a"));
    await receiver.abandonMessage(await take(receiver), { seen: 1 });
    const again = await take(receiver);
    assert.deepEqual([1, { seen: 1 }], [again.deliveryCount, again.applicationProperties]);
    await receiver.deadLetterMessage(again, { deadLetterReason: "bad", deadLetterErrorDescription: "too bad" });
    const dead = client.createReceiver(queue, { subQueueType: "deadLetter" });
    const found = await take(dead);
    assert.deepEqual(["a", "bad", "too bad"],
      [found.body, found.deadLetterReason, found.deadLetterErrorDescription]);
    await dead.completeMessage(found);
    await rejects(dead.completeMessage(found), undefined);
  },
  async "defer"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    await sender.sendMessages(message("a"));
    const got = await take(receiver);
    await receiver.deferMessage(got);
    const [deferred] = await receiver.receiveDeferredMessages(got.sequenceNumber);
    assert.deepEqual(["a", "deferred"], [deferred.body, deferred.state]);
    await receiver.completeMessage(deferred);
    await rejects(receiver.receiveDeferredMessages(got.sequenceNumber), "MessageNotFound");
  },
  async "schedule, cancel, peek"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    const [first, second] = await sender.scheduleMessages(
      [message("never"), message("nor this")], new Date(Date.now() + 3600000));
    const soon = new Date(Date.now() + 300);
    await sender.scheduleMessages(message("soon"), soon);
    const peeked = await receiver.peekMessages(10);
    assert.deepEqual(["scheduled", "scheduled"], peeked.slice(0, 2).map((m) => m.state));
    await sender.cancelScheduledMessages([first, second]);
    await rejects(sender.cancelScheduledMessages(first), "MessageNotFound");
    const got = await take(receiver);
    assert.equal("soon", got.body);
    assert.ok(new Date() >= soon);
    await receiver.completeMessage(got);
  },
  async "receive and delete"() {
    const sender = client.createSender(queue);
    const receiver = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    await sender.sendMessages([message("a"), message("b")]);
    assert.deepEqual(["a", "b"], (await take(receiver, 2)).map((m) => m.body));
    assert.deepEqual([], await receiver.peekMessages(1, { fromSequenceNumber: require("long").ONE }));
  },
  async "subscribe"() {
    const sender = client.createSender(queue), receiver = client.createReceiver(queue);
    const got = [];
    const all = new Promise((resolve, reject) => receiver.subscribe({
      async processMessage(m) { if (got.push(m.body) === 30) resolve(); },
      async processError(args) { reject(args.error); },
    }, { maxConcurrentCalls: 5 }));
    await sender.sendMessages([...Array(30).keys()].map((n) => message(n)));
    await all;
    await receiver.close();
    assert.deepEqual([...Array(30).keys()], got.sort((a, b) => a - b));
  },
  async "sessions"() {
    const sender = client.createSender(sessionQueue);
    await sender.sendMessages(["1", "2"].map((n) => message(n, { sessionId: "s" })));
    const session = await client.acceptSession(sessionQueue, "s");
    assert.equal("s", session.sessionId);
    assert.ok(session.sessionLockedUntilUtc > new Date());
    await rejects(client.acceptSession(sessionQueue, "s"), "SessionCannotBeLocked");
    const got = await take(session, 2);
    assert.deepEqual([["1", "s"], ["2", "s"]], got.map((m) => [m.body, m.sessionId]));
    await session.setSessionState({ step: 1 });
    assert.deepEqual({ step: 1 }, await session.getSessionState());
    assert.ok(await session.renewSessionLock() > new Date());
    await session.completeMessage(got[0]);
    await session.close();
    const next = await client.acceptNextSession(sessionQueue);
    assert.equal("s", next.sessionId);
    const again = await take(next);
    assert.deepEqual(["2", 0], [again.body, again.deliveryCount]);
    await next.completeMessage(again);
    await next.close();
    await assert.rejects(client.createSender(sessionQueue).sendMessages(message("a")), /requires sessions/);
  },
  async "topics and rules"() {
    const sender = client.createSender(topic), receiver = client.createReceiver(topic, "all");
    const manager = client.createRuleManager(topic, "all");
    await manager.deleteRule("$Default");
    await manager.createRule("red", { sqlExpression: "color = 'red'" });
    await manager.createRule("new", { subject: "new", applicationProperties: { color: "blue" } });
    const rules = [];
    for await (const rule of manager.listRules()) rules.push([rule.name, rule.filter.sqlExpression ?? rule.filter.subject]);
    assert.deepEqual([["new", "new"], ["red", "color = 'red'"]], rules);
    await rejects(manager.createRule("red", { sqlExpression: "1=1" }), "MessagingEntityAlreadyExists");
    await sender.sendMessages([
      message("a", { applicationProperties: { color: "red" } }),
      message("b", { applicationProperties: { color: "blue" } }),
      message("c", { applicationProperties: { color: "blue" }, subject: "new" }),
    ]);
    const got = await take(receiver, 2);
    assert.deepEqual(["a", "c"], got.map((m) => m.body));
    await Promise.all(got.map((m) => receiver.completeMessage(m)));
  },
  async "what isn't there"() {
    await rejects(client.createSender("missing").sendMessages(message("a")), "MessagingEntityNotFound");
    await rejects(client.createReceiver("missing").peekMessages(1), "MessagingEntityNotFound");
  },
};

(async () => {
  for (const [name, scenario] of Object.entries(scenarios)) {
    let problem = null;
    try {
      await scenario();
    } catch (error) {
      problem = String(error?.stack ?? error);
    }
    console.log(JSON.stringify([name, problem]));
  }
  await client.close();
})();
