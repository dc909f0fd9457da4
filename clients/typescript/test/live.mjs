// Uses every group of the client on a running daemon, whose address and token are variables.
// RECEIVER is the URL of a receiver. Prints one JSON document.
import { Dispatcher, NotFoundError, UnauthorizedError } from "dispatcher-client";

const { ADDRESS: baseUrl, TOKEN: token, RECEIVER: url } = process.env;
const dispatcher = new Dispatcher({ baseUrl, token });
const { webhooks } = dispatcher;
const told = {};

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}

async function until(read) {
  for (let tries = 0; tries < 600; tries += 1) {
    const value = await read();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not come about");
}

// The table of methods of a webhook.
const made = await webhooks.create({ url, events: ["user.created"], name: "First" });
told.created = { secret: made.secret, active: made.active, events: made.events };
told.listed = (await webhooks.list()).map(({ id, secret }) => [id === made.id, secret ?? null]);
told.found = [
  (await webhooks.list({ search: "FIRST", state: "active" })).length,
  (await webhooks.list({ search: "nothing" })).length,
];
const changed = await webhooks.update(made.id, { name: "Second", retry: { retries: 0 } });
told.updated = [changed.name, (await webhooks.get(made.id)).name];
told.rotated = (await webhooks.rotateSecret(made.id)).secret;
const ping = await webhooks.testPing(made.id);
told.ping = [ping.event, ping.webhookId === made.id];
await until(async () => (await dispatcher.deliveries.get(ping.id)).status === "DELIVERED");

// Events and deliveries, in pages.
const first = await dispatcher.events.emit("user.created", { id: "usr_1" }, { idempotencyKey: "k" });
const again = await dispatcher.events.emit("user.created", { id: "usr_1" }, { idempotencyKey: "k" });
told.once = first.id === again.id;
const many = await dispatcher.events.emitMany([{ type: "user.created", data: 2 }, { type: "a.b" }]);
told.many = many.length;
await until(async () => (await webhooks.listDeliveries(made.id, { status: "DELIVERED" })).items.length === 3);
const page = await webhooks.listDeliveries(made.id, { limit: 2, event: "user.*" });
told.outcome = (await dispatcher.events.list({ id: first.id, outcome: true })).items[0].outcome.delivered;
told.page = [page.items.length, typeof page.nextCursor];
const next = await webhooks.listDeliveries(made.id, {
  limit: 2,
  event: "user.*",
  since: new Date(Date.now() - 3_600_000),
  ...(page.nextCursor === null ? {} : { cursor: page.nextCursor }),
}).catch((error) => error.code);
told.cursorOfOtherFilters = typeof next === "string" ? next : "accepted";
const all = [];
for await (const delivery of webhooks.eachDelivery(made.id, { event: "user.*" })) all.push(delivery.id);
told.all = [all.length, new Set(all).size];
const [delivery] = page.items;
told.attempts = (await dispatcher.deliveries.attempts(delivery.id)).map(({ number, status }) => [number, status]);
const retried = await dispatcher.deliveries.retry(delivery.id);
told.retried = [retried.id === delivery.id, retried.status];
told.preview = (await webhooks.previewRecovery(made.id, { since: new Date(Date.now() - 60_000) })).failed;
const since = new Date(Date.now() - 60_000);
const started = [];
for (let n = 0; n < 2; n += 1) {
  started.unshift((await webhooks.recover(made.id, { since })).id);
  await until(async () => (await webhooks.recovery(made.id, started[0])).state !== "RUNNING");
}
const newest = await webhooks.listRecoveries(made.id, { limit: 1 });
told.recoveries = [newest.items.map((recovery) => recovery.id).join() === started[0], typeof newest.nextCursor];
const recoveries = [];
for await (const recovery of webhooks.eachRecovery(made.id)) recoveries.push(recovery.id);
told.eachRecovery = recoveries.join() === started.join();

// The other groups.
await dispatcher.environments.create({ id: "env_acme", name: "Acme" });
const acme = dispatcher.within("env_acme");
told.elsewhere = (await acme.webhooks.list()).length;
told.foreign = (await failure(acme.webhooks.get(made.id))) instanceof NotFoundError;
await dispatcher.eventTypes.put("user.created", { description: "A user" });
told.type = (await dispatcher.eventTypes.get("user.created")).description;
const reader = await dispatcher.tokens.create({ name: "r", environmentId: "env_acme", scope: "read" });
const other = new Dispatcher({ baseUrl, token: reader.token });
told.reader = (await other.webhooks.list()).length;
await dispatcher.tokens.revoke(reader.id);
told.revoked = (await failure(other.webhooks.list())) instanceof UnauthorizedError;
told.paused = [(await acme.pauses.pause()).paused, (await acme.pauses.resume()).paused];
told.quarantine = (await dispatcher.quarantine.list()).items.length;
told.audit = (await dispatcher.audit.list({ action: "environment.create" })).items[0].subject;
told.stats = (await dispatcher.stats.get({ all: true })).environmentId;

// Errors say where, and hold no token.
const invalid = await failure(webhooks.create({ url, events: ["a..b"] }));
told.invalid = [invalid.name, invalid.status, invalid.details[0].pointer];
const wrong = new Dispatcher({ baseUrl: "http://127.0.0.1:1", token });
const away = await failure(wrong.webhooks.rotateSecret(made.id));
told.away = [away.name, away.message.includes(token), away.message.includes("127.0.0.1:1")];
told.dots = (await failure(Promise.resolve().then(() => webhooks.get("..")))).name;
await webhooks.delete(made.id);
const gone = await failure(webhooks.get(made.id));
told.gone = [gone.status, gone.code, typeof gone.requestId];

console.log(JSON.stringify(told));
